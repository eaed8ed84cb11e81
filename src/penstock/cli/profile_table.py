"""Step-time profiles and comparisons, as tables of plain text."""

from collections import Counter

from penstock.calibration.compare import Comparison, by_campaign, errors
from penstock.hardware.kv_capacity import KvCapacity
from penstock.hardware.profile import Profile
from penstock.hardware.serving import Serving
from penstock.messages.confidence import Confidence
from penstock.messages.engine_spec import StepTimeSpec
from penstock.messages.fields import field_alias

_WIDE = 46


def profile_table(profile: Profile) -> str:
    """Campaigns with their errors, as fitted and left out."""
    lines = [
        f"Step-time profile, fitted {profile.as_of} to {profile.source}",
        "",
        "Mean absolute errors of what was fitted, and of each campaign left out of the fit in turn.",
        "",
        f"{'campaign':{_WIDE}} points   fitted TPOT   TTFT   left out TPOT   TTFT",
    ]
    for each in profile.campaigns:
        name = f"{each.model.rpartition('/')[2]}, {each.gpu}, {each.engine}"
        lines.append(
            f"{name:{_WIDE}} {each.points:6d} {_percent(each.fitted.tpot):>13} {_percent(each.fitted.ttft):>6} "
            f"{_percent(each.left_out.tpot):>15} {_percent(each.left_out.ttft):>6}"
        )
    left_out = f"{_percent(profile.left_out.tpot):>15} {_percent(profile.left_out.ttft):>6}"
    lines.append(f"{'mean of campaigns':{_WIDE}} {'':6} {'':13} {'':6} {left_out}")
    return "\n".join(lines)


def comparison_table(comparison: Comparison, profile: Profile) -> str:
    """Errors by campaign, then what was left out and why."""
    lines = [f"{'campaign':{_WIDE}} calibrated  points  saturated    TPOT  (bias)    TTFT  (bias)"]
    for members in by_campaign(comparison.points).values():
        serving = members[0].point.serving
        counted = [each for each in members if not each.predicted.saturated]
        found = errors(counted)
        name = f"{serving.model.name.rpartition('/')[2]}, {serving.gpu.name}, {serving.engine}"
        lines.append(
            f"{name:{_WIDE}} {'yes' if profile.confidence(serving).calibrated else 'no':>10} {len(members):7d} "
            f"{len(members) - len(counted):10d} {_percent(found.tpot):>7} {_signed(found.tpot_bias):>7} "
            f"{_percent(found.ttft):>7} {_signed(found.ttft_bias):>7}"
        )
    total = errors(comparison.unsaturated)
    lines.append(
        f"{'all unsaturated points':{_WIDE}} {'':10} {len(comparison.unsaturated):7d} {'':10} "
        f"{_percent(total.tpot):>7} {_signed(total.tpot_bias):>7} "
        f"{_percent(total.ttft):>7} {_signed(total.ttft_bias):>7}"
    )
    reasons = Counter(each.why.partition(" 20")[0].partition(" of ")[0] for each in comparison.skipped)
    if reasons:
        lines += ["", f"Not replayed: {len(comparison.skipped)}"]
        lines += [f"{count:5d}  {why}" for why, count in reasons.most_common()]
    return "\n".join(lines)


def replica_table(serving: Serving, spec: StepTimeSpec, capacity: KvCapacity, confidence: Confidence) -> str:
    """Lines for a deployment file, and how far to trust them."""
    if confidence.calibrated:
        basis = "this model, GPU and engine were measured"
    else:
        basis = (
            f"not calibrated for them; the model elsewhere: {'yes' if confidence.model_seen else 'no'}, "
            f"the engine: {'yes' if confidence.engine_seen else 'no'}"
        )
    return "\n".join(
        [
            f"{serving.model.name} on {serving.gpus} x {serving.gpu.name}, {serving.engine}, "
            f"{'4-bit experts' if serving.model.mxfp4 else serving.precision}",
            f"expect errors of {_percent(confidence.tpot_error)} in TPOT and {_percent(confidence.ttft_error)} in TTFT "
            f"({basis})",
            "",
            "engine:",
            f"  kvBlocks: {capacity.blocks}",
            "  stepTime:",
            *(f"    {field_alias(name)}: {value:.4g}" for name, value in spec.model_dump().items() if value),
        ]
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _signed(value: float | None) -> str:
    return "" if value is None else f"({100 * value:+.0f})"
