"""The sentence behind a decision of a HorizontalPodAutoscaler."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.autoscale.hpa_metrics import Proposal
from penstock.autoscale.sentences import move, number
from penstock.messages.decision import LimitedBy

if TYPE_CHECKING:  # the sentence is about its caller's types
    from penstock.autoscale.hpa import Hpa, Sync, Target


def hpa_reason(hpa: "Hpa", outcome: "Sync", values: Sequence[int | None], *, current: int) -> str:
    """Say what each metric asks for and what became of it."""
    if outcome.limited_by is LimitedBy.OWNER:
        return "Scaling is off: the count is 0 and the minimum is not, which tells the autoscaler to leave it alone."
    if not outcome.answers:
        bound = f"maximum {hpa.maximum}" if current > hpa.maximum else f"minimum {hpa.minimum}"
        return f"{current} is outside the bounds; {move(current, outcome.desired)}, the {bound}."
    asked = [
        _asks(target, value, answer) for target, value, answer in zip(hpa.targets, values, outcome.answers, strict=True)
    ]
    return f"{'; '.join(asked)}; {_outcome(hpa, outcome, current)}."


def _asks(target: "Target", value: int | None, answer: Proposal | str) -> str:
    name = str(target.metric)
    if isinstance(answer, str):
        return f"{name} cannot be read ({answer})"
    held = ", too near to act on" if answer.held else ""
    if target.type == "Utilization":
        return f"{name} is {number(answer.ratio)} times its target of {target.target} %, which asks for " + (
            f"{answer.replicas}{held}"
        )
    shown = number((value or 0) / 1000)
    per = " for each replica" if target.type == "AverageValue" else ""
    return f"{name} is {shown} against {number(target.target / 1000)}{per}, which asks for {answer.replicas}{held}"


def _outcome(hpa: "Hpa", outcome: "Sync", current: int) -> str:
    to = move(current, outcome.desired)
    normalized = outcome.normalized
    if normalized is None:
        return f"{to}, because nothing scales in while a metric is missing"
    match outcome.limited_by:
        case LimitedBy.STABILIZATION:
            return f"the stabilisation window still holds a recommendation of {normalized.stabilized}; {to}"
        case LimitedBy.RATE:
            return f"the rate limit allows {outcome.desired} now; {to}"
        case LimitedBy.MAX:
            return f"{to}, the maximum {hpa.maximum}"
        case LimitedBy.MIN:
            return f"{to}, the minimum {hpa.minimum}"
        case _:
            return to
