"""One deployment under several seeds, and how far its figures lie apart: the band of a result.

Each further run draws its delays anew, and, where step times rest on a profile, takes them longer or shorter by what
the profile is off: prompts by its error of TTFT, decoding by that of TPOT, drawn once a run, since a profile is off for
all replicas alike. A mean absolute error e is a lognormal of width e * sqrt(pi / 2).

The band is the middle 90 % of all runs, by nearest rank: with fewer than 20, the lowest and the highest.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace

from penstock.messages.confidence import Confidence
from penstock.messages.engine_spec import StepTimeSpec
from penstock.messages.result import Result
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.simulator.jobs import Job, run_job

LOW, HIGH = 0.05, 0.95
_PREFILL = ("prefill_step_s", "prefill_token_s", "prefill_attention_s")
_DECODE = ("base_s", "sequence_s", "context_token_s", "experts_s")


def further_jobs(job: Job, errors: Mapping[str, Confidence], *, seeds: int) -> list[Job]:
    """The runs beside the first: its seed plus 1, plus 2 and so on, up to `seeds` runs in all."""
    first = job.source.seed
    return [
        replace(job, spec=scaled(job.spec, errors, seed=seed), source=replace(job.source, seed=seed))
        for seed in range(first + 1, first + seeds)
    ]


def run_all(jobs: Sequence[Job], pool: ProcessPoolExecutor) -> Iterator[Result]:
    """Spread over cores; results in the order in which they are done."""
    running = [pool.submit(run_job, job) for job in jobs]  # at once, not when the first result is asked for
    return (future.result() for future in as_completed(running))


def scaled(spec: DeploymentBody, errors: Mapping[str, Confidence], *, seed: int) -> DeploymentBody:
    """The deployment with its step times off by what their profile may be off.

    Args:
        errors: by component; the others stay as they are.
    """
    draw = random.Random(f"step time {seed}")
    prefill, decode = draw.gauss(), draw.gauss()
    components = tuple(
        component
        if (error := errors.get(component.name)) is None
        else _with(component, prefill=_factor(error.ttft_error, prefill), decode=_factor(error.tpot_error, decode))
        for component in spec.components
    )
    return spec.model_copy(update={"components": components})


def band(results: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """Low and high of each headline figure that the runs have."""
    figures: dict[str, list[float]] = {}
    for result in results:
        for name, value in _figures(result).items():
            if value is not None:
                figures.setdefault(name, []).append(value)
    return {name: (_rank(sorted(values), LOW), _rank(sorted(values), HIGH)) for name, values in figures.items()}


def _figures(result: Result) -> dict[str, float | None]:
    slo, hours = result.slo, result.gpu_hours
    return {
        "ttft_p95_s": result.ttft_s.p95,
        "itl_p95_s": result.itl_s.p95,
        "e2e_p95_s": result.e2e_s.p95,
        "attainment": slo.attainment if slo is not None else None,
        "requests_met": slo.requests_met if slo is not None else None,
        "gpu_hours": hours.total if hours is not None else None,
        "cost_usd": result.cost_usd,
    }


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _factor(error: float, drawn: float) -> float:
    """NaN: the profile does not know how far off it is."""
    return math.exp(error * math.sqrt(math.pi / 2) * drawn) if math.isfinite(error) else 1.0


def _with(component: ComponentSpec, *, prefill: float, decode: float) -> ComponentSpec:
    step: StepTimeSpec = component.engine.step_time
    factors = dict.fromkeys(_PREFILL, prefill) | dict.fromkeys(_DECODE, decode)
    changed = step.model_copy(update={name: getattr(step, name) * factor for name, factor in factors.items()})
    return component.model_copy(update={"engine": component.engine.model_copy(update={"step_time": changed})})
