"""Workload statistics as a table for a terminal, at most 80 columns wide."""

from penstock.workload.stats import Lengths, WorkloadStats

_BARS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 60
_NAME = 55  # columns of a long path: its end


def stats_table(name: str, format_name: str, stats: WorkloadStats) -> str:
    """Lines of label and figures, and requests by minute as a line of bars."""
    rows = [
        ("trace", f"{name if len(name) <= _NAME else '...' + name[3 - _NAME :]} ({format_name})"),
        ("requests", f"{stats.requests:,} over {_duration(stats.duration_s)}"),
        ("rate", f"mean {stats.mean_per_s:.2f} a second, peak minute {stats.peak_minute_per_s:.2f}"),
        ("by minute", _bars(stats.requests_by_minute)),
        ("gaps", f"CV {'-' if stats.gap_cv is None else f'{stats.gap_cv:.2f}'} (Poisson 1)"),
        ("dispersion", _dispersion(stats)),
        ("", f"{'mean':>9}{'p50':>9}{'p90':>9}{'p95':>9}{'p99':>9}{'max':>9}"),
        ("input", _lengths(stats.input_tokens)),
        ("output", _lengths(stats.output_tokens)),
        ("tokens", f"{stats.total_input_tokens:,} input, {stats.total_output_tokens:,} output"),
        ("prefixes", _prefixes(stats)),
    ]
    return "\n".join(f"{label:<12}{text}".rstrip() for label, text in rows)


def _dispersion(stats: WorkloadStats) -> str:
    known = [f"{value:.1f} in {window_s} s" for window_s, value in stats.dispersion.items() if value is not None]
    return f"{', '.join(known)} (Poisson 1)" if known else "-"


def _prefixes(stats: WorkloadStats) -> str:
    if not stats.distinct_blocks:
        return "none named"
    more = "; more blocks than are counted, so at least" if stats.blocks_exceeded else ""
    return f"{stats.prefix_reuse:.1%} ideal reuse, {stats.distinct_blocks:,} distinct blocks{more}"


def _lengths(lengths: Lengths) -> str:
    values = (lengths.mean, lengths.p50, lengths.p90, lengths.p95, lengths.p99, lengths.max)
    return "".join(f"{value:>9,.0f}" for value in values)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _bars(counts: tuple[int, ...]) -> str:
    """One character a minute, or for several if there are many: the largest of each."""
    step = -(-len(counts) // _COLUMNS)
    groups = [max(counts[start : start + step]) for start in range(0, len(counts), step)]
    top = max(groups)
    return "".join(_BARS[-(-8 * count // top)] for count in groups)
