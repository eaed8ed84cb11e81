"""A `Result` as a table for people, at most 80 columns wide: what `load`, `up` and `demo` end with."""

from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from textwrap import wrap

from penstock.messages.result import GpuHours, Latency, Result

_TEXT_COLUMNS = 68  # beside a label of 12


def result_table(result: Result, *, notes: Sequence[tuple[str, str]] = ()) -> str:
    """Lines of label and figures. Parts that nobody knew are left out.

    Args:
        notes: further rows at the end, as label and text.
    """
    requests = result.requests
    rows = [
        (
            "requests",
            f"{requests.offered} offered: {requests.completed} completed, {requests.rejected} rejected, "
            f"{requests.failed} failed",
        ),
        ("", f"{result.requests_per_wall_s:.1f} a second over {result.wall_s:.0f} s"),
        ("", "    mean      p50      p95      p99"),
        ("TTFT", _latency(result.ttft_s)),
        ("ITL", _latency(result.itl_s)),
        ("end to end", _latency(result.e2e_s)),
        ("tokens", _tokens(result)),
    ]
    if (slo := result.slo) is not None:
        rows.append(
            (
                "SLO",
                f"TTFT {_seconds(slo.ttft_s)}, ITL {_seconds(slo.itl_s)}, p{slo.percentile:g}, "
                f"windows of {slo.window_s:g} s",
            )
        )
        rows.append(
            (
                "attainment",
                f"{slo.attainment:.1%} ({slo.windows_met} of {slo.windows} windows); "
                f"{slo.requests_met:.1%} of requests",
            )
        )
    rows += _replicas(result)
    rows += _uncertainty(result)
    rows += notes
    return "\n".join(line for label, text in rows for line in _lines(label, text))


def _lines(label: str, text: str) -> list[str]:
    """One row: as it is where it fits, else wrapped below itself."""
    parts = [text] if len(text) <= _TEXT_COLUMNS else wrap(text, _TEXT_COLUMNS)
    return [f"{'' if place else label:<12}{part}".rstrip() for place, part in enumerate(parts)]


def hours_by_state(hours: GpuHours) -> dict[str, float]:
    """GPU-hours by the state in which they were paid for, in the order of the type."""
    return {part.name: getattr(hours, part.name) for part in fields(hours) if part.name != "total"}


def _latency(latency: Latency) -> str:
    values = (latency.mean, latency.p50, latency.p95, latency.p99)
    return "".join(f"{'-' if value is None else _seconds(value):>9}" for value in values).removeprefix(" ")


def _tokens(result: Result) -> str:
    tokens = result.tokens
    cached = f" ({tokens.prompt_cached / tokens.prompt:.1%} from cache)" if tokens.prompt else ""
    return f"{tokens.prompt:,} prompt{cached}, {tokens.output:,} output"


_BANDS = {
    "ttft_p95_s": ("TTFT p95", "time"),
    "itl_p95_s": ("ITL p95", "time"),
    "attainment": ("attainment", "share"),
    "gpu_hours": ("GPU-hours", "plain"),
    "cost_usd": ("cost", "usd"),
}


def _uncertainty(result: Result) -> list[tuple[str, str]]:
    """How far step times may be off, and the bands over several runs."""
    rows = []
    for component, error in (result.step_time_error or {}).items():
        known = "calibrated" if error.calibrated else "not calibrated"
        rows.append(
            (
                "profile",
                f"{component[:11]} off by {error.tpot_error:.1%} in ITL, {error.ttft_error:.1%} in TTFT; {known}",
            )
        )
    if result.band:
        rows.append(("band", f"of {result.seeds} runs"))
    for name, (label, kind) in _BANDS.items():
        if result.band and name in result.band:
            low, high = (_figure(value, kind) for value in result.band[name])
            rows.append(("", f"{label:<12}{low} to {high}"))
    return rows


def _figure(value: float, kind: str) -> str:
    if kind == "time":
        return _seconds(value)
    return f"{value:.1%}" if kind == "share" else f"${value:,.2f}" if kind == "usd" else f"{value:.4g}"


def _replicas(result: Result) -> list[tuple[str, str]]:
    rows = []
    for component, steps in (result.replicas or {}).items():
        wanted = [desired for _, desired, _ in steps]
        if not wanted:
            continue
        up = sum(after > before for before, after in pairwise(wanted))
        down = sum(after < before for before, after in pairwise(wanted))
        rows.append(
            (
                component[:11],
                f"{min(wanted)} to {max(wanted)} replicas, {up} times up, {down} times down; {wanted[-1]} at the end",
            )
        )
    if (hours := result.gpu_hours) is not None:
        spent = ", ".join(f"{state} {each:.3g}" for state, each in hours_by_state(hours).items() if each > 0)
        rows.append(("GPU-hours", f"{hours.total:.4g}: {spent}" if spent else "none"))
    if result.cost_usd is not None:
        rows.append(("cost", f"${result.cost_usd:.4f}" if result.cost_usd < 1 else f"${result.cost_usd:,.2f}"))
    return rows


def _seconds(value: float) -> str:
    """With the unit that shows it best: 4.20 ms, 153 ms, 1.25 s."""
    if value < 0.01:
        return f"{value * 1000:.2f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
