"""The one sentence on top of a report: was the target held, what did it cost, and why was it missed where it was.

The cause of a missed window is looked for in what was recorded in that window, the plainest first: requests refused or
failed; demand above what the ready replicas carry; replicas still starting; requests waiting in queues. If none shows,
the sentence says by how much the window missed and blames nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.messages.spec import SloSpec
from penstock.telemetry.summary import Window

_TOLD_WINDOWS = 2  # missed windows that the sentence explains, the worst first; the table has the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A sentence, and whether every window was met; None if nothing can be said of targets."""

    sentence: str
    met: bool | None


def verdict(
    summary: Mapping[str, Any],
    windows: Sequence[Window],
    slo: SloSpec,
    history: Mapping[str, Any],
    clock: Callable[[float], str],
) -> Verdict:
    """Judge a run.

    Args:
        summary: the document of `summary.json`.
        windows: with their latencies; empty if requests were not recorded.
        history: of the feed: columns over time.
        clock: shows an instant of the run.
    """
    parts: list[str] = []
    told = summary.get("slo") or {}
    attained = told.get("windows", 0) > 0
    if attained:
        digits = 0 if told["windows_met"] == told["windows"] else 1
        share = f"{100 * told['attainment']:.{digits}f} %"
        parts.append(f"{share} of windows within target ({told['windows_met']} of {told['windows']})")
    else:
        parts.append("no window had a request")
    requests = summary.get("requests") or {}
    lost = requests.get("failed", 0)
    if lost:
        parts.append(f"{lost} of {requests['offered']} requests failed")
    if summary.get("cost_usd") is not None:
        parts.append(f"${summary['cost_usd']:.2f}{_saved(history)}")
    missed = [window for window in windows if not window.met(slo)]
    # A simulated run records each request's mean gap: single long ones show in the summary only.
    unseen = told["windows"] - told["windows_met"] - len(missed) if attained and windows else 0
    if unseen > 0:
        parts.append(f"{unseen} window{'s' if unseen > 1 else ''} missed by gaps that requests.jsonl averages out")
    if missed:
        worst = sorted(missed, key=lambda window: -_badness(window, slo))[:_TOLD_WINDOWS]
        causes = [
            f"at {clock(window.start_s)} because {cause(window, slo, history)}"
            for window in sorted(worst, key=lambda each: each.start_s)
        ]
        count = f"{len(missed)}{' more' if unseen > 0 else ''} window{'s' if len(missed) > 1 else ''} missed"
        among = ", the worst two" if len(missed) > _TOLD_WINDOWS else ""
        return Verdict(sentence=f"{', '.join(parts)}; {count}{among}, {'; '.join(causes)}.", met=False)
    return Verdict(sentence=f"{', '.join(parts)}.", met=(told["windows"] == told["windows_met"]) if attained else None)


def cause(window: Window, slo: SloSpec, history: Mapping[str, Any]) -> str:
    """Why a window was missed, as far as the record shows."""
    found = []
    lost = window.rejected + window.failed
    if lost * 100 > window.requests * (100 - slo.percentile):
        found.append(f"{lost} of {window.requests} requests were refused or failed")
    inside = [
        index
        for index, time_s in enumerate(history["time_s"])
        if window.start_s <= time_s < window.start_s + slo.window_s
    ]
    pools = [pool["name"] for pool in history["meta"]["pools"]]
    shortage = next((told for pool in pools if (told := _shortage(pool, inside, history["series"]))), None)
    waiting = next((told for pool in pools if (told := _waiting(pool, inside, history["series"]))), None)
    if shortage or waiting:
        found.append(shortage or waiting or "")
    found.extend(_missed_by(window, slo))
    return ", ".join(found)


def _shortage(pool: str, inside: Sequence[int], series: Mapping[str, Sequence[float | None]]) -> str | None:
    """Demand beyond what the ready replicas carry, at its worst moment."""
    demand, capacity = series.get(f"pool/{pool}/demand"), series.get(f"pool/{pool}/capacity")
    if demand is None or capacity is None:
        return None
    gaps = [
        (wanted - carried, index)
        for index in inside
        if (wanted := demand[index]) is not None and (carried := capacity[index]) is not None
    ]
    gap, index = max(gaps, default=(0.0, 0))
    if gap <= 0:
        return None
    ready, starting = series[f"pool/{pool}/ready"][index] or 0, series[f"pool/{pool}/starting"][index] or 0
    also = f", while {starting:.0f} more {'was' if starting == 1 else 'were'} starting" if starting else ""
    return (
        f"{pool} had {demand[index]:.1f} requests/s to carry and its {ready:.0f} ready "
        f"{'replica carries' if ready == 1 else 'replicas carry'} {capacity[index]:.1f}{also}"
    )


def _waiting(pool: str, inside: Sequence[int], series: Mapping[str, Sequence[float | None]]) -> str | None:
    """Requests in queues, if any waited."""
    queue = series.get(f"pool/{pool}/queue")
    most = max((value for index in inside if queue and (value := queue[index]) is not None), default=0.0)
    return f"up to {most:.0f} requests waited in {pool}" if most >= 1 else None


def _missed_by(window: Window, slo: SloSpec) -> list[str]:
    told = []
    for name, values, target_s in (("TTFT", window.ttft, slo.ttft_s), ("ITL", window.itl, slo.itl_s)):
        value = values.percentile(slo.percentile) if values is not None else None
        if value is not None and value > target_s:
            told.append(f"{name} p{slo.percentile:g} was {_seconds(value)}")
    return told or [f"{window.ttft_within} of {window.requests} first tokens came within target"]


def _badness(window: Window, slo: SloSpec) -> float:
    """The share of requests, or of tokens, that missed: whichever is worse."""
    late = 1 - window.ttft_within / window.requests
    return max(late, 1 - window.gaps_within / window.gaps if window.gaps else 0.0)


def _saved(history: Mapping[str, Any]) -> str:
    spent, static = (history["series"].get(name, [None])[-1] for name in ("spent_usd", "static_peak_usd"))
    if spent is None or not static or spent >= static:
        return ""
    return f" ({1 - spent / static:.0%} less than a static peak)".replace("%", " %", 1)


def _seconds(value_s: float) -> str:
    return f"{value_s * 1000:.0f} ms" if value_s < 1 else f"{value_s:.2f} s"
