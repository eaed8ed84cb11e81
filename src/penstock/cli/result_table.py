"""A `Result` as a table for people, at most 80 columns wide: what `load`, `up` and `demo` end with."""

from collections.abc import Sequence
from itertools import pairwise

from penstock.messages.result import Latency, Result


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
    rows += notes
    return "\n".join(f"{label:<12}{text}".rstrip() for label, text in rows)


def _latency(latency: Latency) -> str:
    values = (latency.mean, latency.p50, latency.p95, latency.p99)
    return "".join(f"{'-' if value is None else _seconds(value):>9}" for value in values).removeprefix(" ")


def _tokens(result: Result) -> str:
    tokens = result.tokens
    cached = f" ({tokens.prompt_cached / tokens.prompt:.1%} from cache)" if tokens.prompt else ""
    return f"{tokens.prompt:,} prompt{cached}, {tokens.output:,} output"


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
        rows.append(
            (
                "GPU-hours",
                f"{hours.total:.4g}: serving {hours.serving:.3g}, starting {hours.starting:.3g}, "
                f"warm {hours.warm:.3g}, draining {hours.draining:.3g}, idle {hours.idle:.3g}",
            )
        )
    if result.cost_usd is not None:
        rows.append(("cost", f"${result.cost_usd:.4f}" if result.cost_usd < 1 else f"${result.cost_usd:,.2f}"))
    return rows


def _seconds(value: float) -> str:
    """With the unit that shows it best: 4.20 ms, 153 ms, 1.25 s."""
    if value < 0.01:
        return f"{value * 1000:.2f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
