"""What was measured: a replica, a load, a mean TTFT and TPOT.

The load says how it was measured, for that decides a TTFT more than any kernel: who sends when, the spread of lengths,
the token budget of a step. A point is replayed under just that load.
"""

from dataclasses import dataclass

from penstock.hardware.serving import Serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of the engine, as it was run.

    Args:
        max_num_batched_tokens, max_num_seqs: as in `EngineConfig`.
        kv_tokens: tokens that its KV pool holds; None: not known, and derived from the GPU's memory.
        memory_share: of the GPU's memory that it may take, for deriving that.
    """

    max_num_batched_tokens: int
    max_num_seqs: int = 1024
    kv_tokens: int | None = None
    memory_share: float = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """`users` clients, all starting at once; each sends its next request when its last is answered.

    Args:
        requests: in all.
        isl, osl: nominal lengths; each request's are drawn evenly from the last `spread` below them (0.2: 80 to 100 %).
    """

    users: int
    requests: int
    isl: int
    osl: int
    spread: float
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """`sequences` equal requests at once, and none after them."""

    sequences: int
    isl: int
    osl: int
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyDecode:
    """`sequences` sequences that decode with `context` tokens each, their prompts computed before."""

    sequences: int
    context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LonePrompt:
    """One prompt on an idle engine."""

    isl: int
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoop:
    """Requests at given instants.

    Args:
        arrivals: (arrival_s, input_tokens, output_tokens) in order of time.
        at_engine: times were taken inside the engine, not at a client.
        ttft_s, tpot_s: of each request, where they were measured one by one.
    """

    arrivals: tuple[tuple[float, int, int], ...]
    limits: Limits
    at_engine: bool = False
    ttft_s: tuple[float, ...] = ()
    tpot_s: tuple[float, ...] = ()


Load = ClosedLoop | Burst | SteadyDecode | LonePrompt | OpenLoop
CampaignKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement. `ttft_s`, `tpot_s`: means over requests; None where it was not measured."""

    id: str
    serving: Serving
    load: Load
    ttft_s: float | None
    tpot_s: float | None

    @property
    def campaign(self) -> CampaignKey:
        """Model (its shape), GPU and engine: what a fit has seen, or not."""
        return self.serving.model.name, self.serving.gpu.name, self.serving.engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A row that is not replayed, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What a file holds."""

    points: tuple[Point, ...]
    skipped: tuple[Skipped, ...]
