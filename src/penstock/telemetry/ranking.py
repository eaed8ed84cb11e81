"""Which of several deployments did best on one workload, and how to say it in a sentence. Pure.

The rule: those that attained the share of windows that was asked for come first, the cheapest of them on top; after
them the others, by attainment. Cost is in dollars, or in GPU-hours where a deployment has no price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.messages.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One deployment's figures.

    Args:
        times_optimum: its cost over that of the clairvoyant bound, where there is one.
        seeds, band: how many runs there were, and low and high of figures over them (`Result.band`).
    """

    name: str
    enough: bool
    attainment: float | None
    requests_met: float | None
    gpu_hours: float | None
    cost_usd: float | None
    scale_events: int | None
    times_optimum: float | None
    seeds: int | None = None
    band: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a yardstick would have cost."""

    gpu_hours: float
    cost_usd: float


def standing(name: str, result: Result, *, attain: float, optimum: Spent | None) -> Standing:
    """Read a deployment's figures off its result. `attain`: the share of windows that is enough, 0 to 1."""
    hours = result.gpu_hours.total if result.gpu_hours is not None else None
    return Standing(
        name=name,
        enough=result.slo is not None and result.slo.attainment >= attain,
        attainment=result.slo.attainment if result.slo is not None else None,
        requests_met=result.slo.requests_met if result.slo is not None else None,
        gpu_hours=hours,
        cost_usd=result.cost_usd,
        scale_events=result.scale_events,
        times_optimum=_times(hours, result.cost_usd, optimum),
        seeds=result.seeds,
        band=result.band,
    )


def rank(results: Mapping[str, Result], *, attain: float, optimum: Spent | None) -> list[Standing]:
    """The best first; equals keep the order in which they were given."""
    standings = [standing(name, result, attain=attain, optimum=optimum) for name, result in results.items()]
    return sorted(standings, key=_place)


def ranking_sentence(ranked: Sequence[Standing], *, attain: float, hindsight: Standing | None = None) -> str:
    """Who won and at what price, who did not attain enough, and how far from optimal the winner is."""
    best, others = ranked[0], ranked[1:]
    share = f"{100 * attain:g} % of windows"
    parts: list[str] = []
    if best.enough:
        attaining = sum(each.enough for each in ranked)
        which = f"the cheapest of {attaining} that" if attaining > 1 else "the only one that" if others else "it"
        parts.append(f"{best.name}: {which} kept {share} within target{_for(best)}")
    else:
        whose = "None of the deployments" if others else best.name
        kept = "kept" if others else "did not keep"
        closest = f"; {best.name} came closest, with" if others else ", but"
        parts.append(f"{whose} {kept} {share} within target{closest} {_percent(best.attainment)}{_for(best)}")
    if best.enough and (runner_up := next((each for each in others if each.enough), None)) is not None:
        parts.append(f"next is {runner_up.name}{_for(runner_up)}")
    missed = [each for each in others if not each.enough] if best.enough else []
    if missed:
        told = ", ".join(f"{each.name} ({_percent(each.attainment)})" for each in missed)
        parts.append(f"{told} did not")
    if hindsight is not None and hindsight.times_optimum is not None:
        parts.append(f"the best simple policy in hindsight is {hindsight.times_optimum:.2f} × the clairvoyant optimum")
    return "; ".join(parts) + "."


def _place(each: Standing) -> tuple[bool, float, bool, float, float]:
    unknown = float("inf")
    hours = each.gpu_hours if each.gpu_hours is not None else unknown
    cost = (each.cost_usd is None, each.cost_usd if each.cost_usd is not None else unknown, hours)
    return (not each.enough, 0.0 if each.enough else -(each.attainment or 0.0), *cost)


def _times(hours: float | None, cost_usd: float | None, optimum: Spent | None) -> float | None:
    if optimum is None:
        return None
    if cost_usd is not None and optimum.cost_usd > 0:
        return cost_usd / optimum.cost_usd
    return hours / optimum.gpu_hours if hours is not None and optimum.gpu_hours > 0 else None


def _for(each: Standing) -> str:
    told = []
    if each.cost_usd is not None:
        told.append(f"for ${each.cost_usd:,.2f}")
    if each.times_optimum is not None:
        told.append(f"{each.times_optimum:.2f} × the clairvoyant optimum")
    return " " + ", ".join(told) if told else ""


def _percent(share: float | None) -> str:
    return f"{100 * share:.1f} %" if share is not None else "no window"
