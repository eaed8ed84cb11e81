"""Numbers, limits and runs of decisions in plain English: what an operator reads in the log and from `explain`.

A reader should be able to redo the sum from the sentence alone, so figures keep their unit and two or three digits.
"""

from collections.abc import Sequence
from itertools import groupby

from penstock.messages.decision import Decision, LimitedBy

# What each `limited_by` means, as `explain` and the documents put it.
LIMIT_WORDS = {
    LimitedBy.NONE: "nothing held it back",
    LimitedBy.MIN: "held at the pool's minimum",
    LimitedBy.MAX: "held at the pool's maximum",
    LimitedBy.TOLERANCE: "the metric is too near its target to act on",
    LimitedBy.STABILIZATION: "an older recommendation in the stabilisation window still holds",
    LimitedBy.RATE: "the most that one step may change",
    LimitedBy.COOL_IN: "waiting out the cool-in before scaling in",
    LimitedBy.COOL_OUT: "waiting out the cool-out before scaling out again",
    LimitedBy.FORECAST: "the forecast would undo it within the lead time",
    LimitedBy.MISSING_DATA: "a metric is missing, and no data is not zero",
    LimitedBy.STALE_DATA: "a metric is too old to scale in on",
    LimitedBy.OWNER: "the count belongs to another owner",
}
# A decision log of hours stays readable: longer runs of explanations are cut in the middle, and say so.
MAX_LINES = 200


def number(value: float) -> str:
    """A figure with three digits that matter: 0.05, 6.2, 18.1, 184."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time as people say it: 0.5 s, 8 s, 50 ms, 3 min, 3.5 min."""
    if 0 < seconds < 0.1:
        return f"{number(seconds * 1000)} ms"
    if seconds < 120:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60)} min"


def replicas(count: int) -> str:
    """1 replica, 3 replicas."""
    return f"{count} replica" if count == 1 else f"{count} replicas"


def verb(count: int) -> str:
    """1 is, 3 are."""
    return "is" if count == 1 else "are"


def move(current: int, desired: int) -> str:
    """The end of a reason: what will be done."""
    if desired == current:
        return f"staying at {current}"
    return f"scaling from {current} to {desired}"


def explain(decisions: Sequence[Decision], component: str | None = None, at_s: float | None = None) -> str:
    """Tell what was decided and why, one line for each run of decisions that changed nothing.

    Args:
        decisions: in the order of time, as `decisions.jsonl` has them.
        component: only of this pool.
        at_s: only the decision that stood then and its neighbours: the change before and the change after.
    """
    wanted = [d for d in decisions if component is None or d.component == component]
    if not wanted:
        return "No decisions." if component is None else f"No decisions for {component}."
    names = list(dict.fromkeys(d.component for d in wanted))
    parts = []
    for name in names:
        runs = _runs([d for d in wanted if d.component == name])
        if at_s is not None:
            runs = _around(runs, at_s)
        lines = [_line(run) for run in runs]
        if at_s is not None:
            lines.extend(_detail(runs, at_s))
        elif len(lines) > MAX_LINES:
            half = MAX_LINES // 2
            lines = [*lines[:half], f"  ... {len(lines) - 2 * half} more, see one with --at ...", *lines[-half:]]
        parts.append("\n".join([f"{name} ({runs[0][0].policy})", *lines]))
    return "\n\n".join(parts)


def _runs(decisions: Sequence[Decision]) -> list[list[Decision]]:
    """Split into runs: each change alone, and everything between two changes that was held for one cause together."""
    runs: list[list[Decision]] = []
    for changed, group in groupby(decisions, key=lambda d: (d.desired != d.current, d.desired, d.limited_by)):
        if changed[0]:
            runs.extend([d] for d in group)
        else:
            runs.append(list(group))
    return runs


def _around(runs: list[list[Decision]], at_s: float) -> list[list[Decision]]:
    """The run that stood at the instant, and one on either side."""
    index = _standing(runs, at_s)
    return runs[max(0, index - 1) : index + 2]


def _standing(runs: list[list[Decision]], at_s: float) -> int:
    return max((i for i, run in enumerate(runs) if run[0].time_s <= at_s), default=0)


def _line(run: list[Decision]) -> str:
    first, last = run[0], run[-1]
    when = f"{first.time_s:9.1f} s" + (f" to {last.time_s:.1f} s" if len(run) > 1 else "")
    count = f"{first.current} -> {first.desired}" if first.desired != first.current else f"{first.desired}"
    return f"{when:25} {count:>10}  {last.reason}"


def _detail(runs: list[list[Decision]], at_s: float) -> list[str]:
    """The figures behind the decision that stood at the instant."""
    run = runs[_standing(runs, at_s)]
    decision = max((d for d in run if d.time_s <= at_s), key=lambda d: d.time_s, default=run[0])
    lines = [
        "",
        f"  At {at_s:g} s the decision of {decision.time_s:g} s stood: {decision.current} -> {decision.desired}, "
        f"{LIMIT_WORDS[decision.limited_by]}.",
        f"  {decision.reason}",
    ]
    if decision.seen:
        lines.append("  Seen:")
        lines.extend(
            f"    {name:28} {number(sample.value):>10}   {duration(sample.age_s)} old"
            for name, sample in decision.seen.items()
        )
    if decision.figures:
        lines.append("  Worked out:")
        lines.extend(f"    {name:28} {number(value):>10}" for name, value in decision.figures.items())
    return lines
