"""The answer in words: what to take, and why that rather than the next."""

from collections.abc import Iterable

from penstock.recommend.answer import Answer
from penstock.recommend.option import Option


def layout(option: Option) -> str:
    """What it is, as one says it: "3 replicas of 2 x H100 NVL"."""
    parts = [str(count) for count in option.replicas]
    if option.mode == "disaggregated":
        return f"{parts[0]} prefill and {parts[1]} decode replicas of {option.name} each"
    return f"{parts[0]} replica{'' if parts[0] == '1' else 's'} of {option.name}"


def vms(option: Option) -> str:
    """The VMs to rent."""
    size = option.cut.size_for(sum(option.replicas))
    return f"{option.cut.vms(size, sum(option.replicas))} x {size.name}"


def usd_per_million_tokens(answer: Answer, option: Option) -> float | None:
    """Of prompts and outputs together, over the workload; None without replicas, or for an instant."""
    price, demand = option.usd_per_hour, answer.demand
    return None if price is None else price * demand.duration_s / 3600 / (demand.tokens / 1e6)


def sentence(answer: Answer) -> str:
    """What is recommended, with its reasons."""
    return f"{headline(answer)}: {'; '.join(reasons(answer))}."


def headline(answer: Answer) -> str:
    """What is recommended."""
    best = answer.best
    if best is None:
        return "Nothing holds the targets"
    price = f"${best.usd_per_hour:,.2f} an hour (${usd_per_million_tokens(answer, best):,.2f} per million tokens)"
    return f"Take {layout(best)}, {best.mode}, on {vms(best)}, {price}"


def reasons(answer: Answer) -> list[str]:
    """Why: what it holds, what else would cost, what has no room, how sure that is."""
    best, slo = answer.best, answer.question.slo
    if best is None or best.chosen is None:
        return [_closest(answer)]
    result, confidence = best.chosen.result, answer.confidence(best)
    measured = "measured" if confidence.calibrated else "not calibrated"
    off = f"off by {confidence.tpot_error:.0%} in ITL, {confidence.ttft_error:.0%} in TTFT"
    return [
        f"TTFT p95 {_s(result.ttft_s.p95)} of {_s(slo.ttft_s)} and ITL p95 {_s(result.itl_s.p95)} of {_s(slo.itl_s)}, "
        f"{best.chosen.attainment:.1%} of windows within target",
        *_dearer(answer, best),
        *_dear_vms(answer.options, best),
        *_no_room(answer.options),
        f"step times {measured} for this model and GPU: {off}",
    ]


def _dearer(answer: Answer, best: Option) -> list[str]:
    """The next best on another GPU or cut, and in the other mode."""
    held = [option for option in answer.options if option.chosen is not None and option is not best]
    other_cut = next((option for option in held if option.cut != best.cut), None)
    other_mode = next((option for option in held if option.mode != best.mode), None)
    said = []
    for option, what in ((other_cut, ""), (other_mode, f"{other_mode.mode} " if other_mode else "")):
        if option is None or (what == "" and option is other_mode):
            continue
        assert option.usd_per_hour is not None
        assert best.usd_per_hour is not None
        more = option.usd_per_hour / best.usd_per_hour - 1
        price = f"costs {more:.0%} more" if more > 0.005 else "costs as much, on no fewer GPUs"
        said.append(f"{what}with {layout(option)} it {price}")
    return said


def _dear_vms(options: Iterable[Option], best: Option) -> list[str]:
    """GPUs of which a single VM costs more than all that is recommended."""
    able = [option for option in options if option.why_not is None]
    price = best.usd_per_hour or 0.0
    cheapest: dict[str, float] = {}
    for option in able:
        least = min(size.usd_per_hour for size in option.cut.sizes)
        cheapest[option.cut.gpu.name] = min(least, cheapest.get(option.cut.gpu.name, least))
    dear = sorted(name for name, usd in cheapest.items() if usd > price)
    return [f"one VM of {' or '.join(dear)} alone costs more"] if dear else []


def _no_room(options: Iterable[Option]) -> list[str]:
    """GPUs on which the model does not fit, each once."""
    lacking = {
        option.name: option.why_not.partition(":")[0].removeprefix("does not fit, ")
        for option in options
        if option.why_not is not None and option.why_not.startswith("does not fit, by")
    }
    if not lacking:
        return []
    return ["it does not fit " + ", ".join(f"{name} ({why})" for name, why in sorted(lacking.items()))]


def _closest(answer: Answer) -> str:
    """The option that attained most, or the first reason."""
    tried = [option for option in answer.options if option.trials]
    if tried:
        option = max(tried, key=lambda each: max(trial.attainment for trial in each.trials))
        return f"{option.name}, {option.mode}, comes closest; {option.why_not}"
    first = answer.options[0] if answer.options else None
    return f"{first.name}: {first.why_not}" if first is not None else "there is no VM size for this model"


def _s(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s"
