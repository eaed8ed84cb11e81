"""The answer as plain values: for `--json`, and for the page."""

from dataclasses import asdict
from typing import Any

from penstock.recommend.answer import Answer
from penstock.recommend.option import ROLES, Option, Trial
from penstock.recommend.reasons import headline, reasons, sentence, usd_per_million_tokens


def document(answer: Answer) -> dict[str, Any]:
    """Everything that is known; figures that nobody knows are null."""
    question, demand, best = answer.question, answer.demand, answer.best
    return {
        "model": question.model,
        "engine": question.engine.type,
        "precision": question.engine.precision,
        "slo": {
            "ttft_s": question.slo.ttft_s,
            "itl_s": question.slo.itl_s,
            "percentile": question.slo.percentile,
            "window_s": question.slo.window_s,
        },
        "workload": {
            "trace": question.source.trace,
            "requests": demand.stats.requests,
            "duration_s": demand.duration_s,
            "mean_per_s": demand.stats.mean_per_s,
            "peak_minute_per_s": demand.stats.peak_minute_per_s,
            "tokens": demand.tokens,
            "longest_request_tokens": demand.longest,
            **asdict(demand.mix),
        },
        "sentence": sentence(answer),
        "headline": headline(answer),
        "reasons": reasons(answer),
        "recommended": _option(answer, best) if best is not None else None,
        "options": [_option(answer, option) for option in answer.options],
    }


def _option(answer: Answer, option: Option) -> dict[str, Any]:
    roles = ROLES[option.mode]
    replicas = option.replicas
    size = option.cut.size_for(sum(replicas)) if replicas else option.cut.sizes[0]
    chosen = option.chosen
    return {
        "vm_size": size.name,
        "gpu": option.cut.gpu.name,
        "tensor_parallel": option.cut.gpus,
        "mode": option.mode,
        "replicas": {str(role): count for role, count in zip(roles, replicas, strict=False)},
        "vms": option.cut.vms(size, sum(replicas)) if replicas else None,
        "feasible": chosen is not None if option.simulated else option.why_not is None,
        "why_not": option.why_not,
        "simulated": option.simulated,
        "ttft_p95_s": chosen.result.ttft_s.p95 if chosen is not None else None,
        "itl_p95_s": chosen.result.itl_s.p95 if chosen is not None else None,
        "attainment": chosen.attainment if chosen is not None else None,
        "usd_per_hour": option.usd_per_hour,
        "usd_per_million_tokens": usd_per_million_tokens(answer, option),
        "rehearsed_per_replica_per_s": dict(zip(map(str, roles), option.per_replica, strict=False)),
        "step_time_error": asdict(answer.confidence(option)) if option.engine is not None else None,
        "trials": [_trial(option, trial) for trial in option.trials],
    }


def _trial(option: Option, trial: Trial) -> dict[str, Any]:
    return {
        "replicas": {str(role): count for role, count in zip(ROLES[option.mode], trial.counts, strict=True)},
        "usd_per_hour": trial.usd_per_hour,
        "attainment": trial.attainment,
        "ttft_p95_s": trial.result.ttft_s.p95,
        "itl_p95_s": trial.result.itl_s.p95,
    }
