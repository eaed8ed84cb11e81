"""What became of a run: the document of `load`, `up` and `simulate` (`--json`, `summary.json`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.messages.confidence import Confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Counts; `offered = completed + rejected + failed`."""

    offered: int
    completed: int
    rejected: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds; None where nothing was measured."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Token counts over completed requests."""

    prompt: int
    prompt_cached: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SloResult:
    """Targets, and the share of windows (that had a request) and of requests that met them."""

    ttft_s: float
    itl_s: float
    percentile: float
    window_s: float
    windows: int
    windows_met: int
    attainment: float
    requests_met: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHours:
    """GPU-hours by the state in which they were paid for."""

    total: float
    serving: float
    starting: float
    warm: float
    draining: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run. Fields that a command cannot know (GPUs, for `load`) are None and left out of its JSON.

    Args:
        step_time_error: by component whose step times rest on a profile: how far they may be off.
        seeds, band: how many runs there were, and low and high of the headline figures over all of them; the other
            figures are those of the first.
    """

    requests: Requests
    ttft_s: Latency
    itl_s: Latency
    e2e_s: Latency
    tokens: Tokens
    slo: SloResult | None = None
    gpu_hours: GpuHours | None = None
    cost_usd: float | None = None
    replicas: Mapping[str, tuple[tuple[float, int, int], ...]] | None = field(default=None)
    scale_events: int | None = None
    wall_s: float = 0.0
    requests_per_wall_s: float = 0.0
    step_time_error: Mapping[str, Confidence] | None = None
    seeds: int | None = None
    band: Mapping[str, tuple[float, float]] | None = None
