"""A made workload as a file of kind `Workload`: what is generated, and how generators and traces are put together.

A workload is a tree: its leaves are generators and traces, its joints put parts one after another or over one another.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.messages.fields import SpecModel
from penstock.workload.arrival import BLOCK_TOKENS, MAX_TOKENS

_MOST_S = 1e8  # three years
_DEPTH = 6


class StateSpec(SpecModel):
    """One state of a rate that jumps."""

    times: float = Field(ge=0, le=1e6)
    """The rate in it, as a multiple of `requestsPerSecond`."""
    dwell_s: float = Field(gt=0, le=_MOST_S)
    """Seconds that it lasts on average; exponential."""


class WaveSpec(SpecModel):
    """A day as a cosine around the rate's mean."""

    swing: float = Field(default=0.5, ge=0, le=1)
    """How far it goes up and down, as a share of the mean."""
    period_s: float = Field(default=86_400.0, ge=1, le=_MOST_S)
    """Seconds from peak to peak."""
    peak_at_s: float = Field(default=50_400.0, ge=0, le=_MOST_S)
    """Seconds from the start to a peak: 14:00 if it starts at midnight."""


class NoiseSpec(SpecModel):
    """A rate that wanders around its mean: lognormal, and less alike the further apart in time."""

    cv: float = Field(ge=0, le=3)
    """Standard deviation over mean."""
    memory_s: float = Field(default=300.0, gt=0, le=_MOST_S)
    """Seconds after which its correlation has fallen to 37 %."""


class SpikesSpec(SpecModel):
    """A train of spikes: up, a while on top, down, in straight lines. Where two overlap the higher counts."""

    times: float = Field(ge=0, le=1e6)
    """The rate on top, as a multiple of what it would be."""
    every_s: float | None = Field(default=None, ge=1, le=_MOST_S)
    """Seconds from one spike to the next on average; the first comes after one such gap."""
    cv: float = Field(default=1.0, ge=0, le=10)
    """How irregular these gaps are: 0 a clock, 1 Poisson."""
    at_s: tuple[float, ...] = ()
    """Instants at which spikes begin, instead."""
    rise_s: float = Field(default=30.0, ge=0, le=86_400)
    """Seconds of the way up."""
    hold_s: float = Field(default=60.0, ge=0, le=86_400)
    """Seconds on top."""
    fall_s: float = Field(default=60.0, ge=0, le=86_400)
    """Seconds of the way down."""

    @model_validator(mode="after")
    def _is_told_when(self) -> Self:
        if (self.every_s is None) == (not self.at_s):
            raise ValueError("it must say when; give either everySeconds or atSeconds")
        return self


class RateSpec(SpecModel):
    """Requests per second over time: a level, times all that is given."""

    requests_per_second: float = Field(default=1.0, gt=0, le=1e6)
    """The level."""
    points: tuple[tuple[float, float], ...] = ()
    """Pairs of (second, multiple of the level), joined by straight lines; a second given twice is a jump."""
    points_every_s: float | None = Field(default=None, gt=0, le=_MOST_S)
    """Seconds after which the points begin again; default: the last one holds."""
    wave: WaveSpec | None = None
    """A day as a cosine."""
    days: tuple[float, ...] = ()
    """Multiples of the level by day of 86,400 s, again from the first after the last: seven make a week."""
    states: tuple[StateSpec, ...] = ()
    """A rate that jumps between states, each as likely to be next (a Markov-modulated Poisson process)."""
    noise: NoiseSpec | None = None
    """A rate that wanders."""
    spikes: SpikesSpec | None = None
    """Spikes on top."""
    gaps_cv: float = Field(default=1.0, ge=0.05, le=50)
    """Standard deviation over mean of the gaps between requests: 1 Poisson, above it gamma bursts, below it regular."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        seconds = [at_s for at_s, _ in self.points]
        if seconds != sorted(seconds) or any(not 0 <= at_s <= _MOST_S for at_s in seconds):
            raise ValueError("points: their seconds go back, or are below 0; give them in order of time")
        if any(not 0 <= times <= 1e6 for _, times in self.points) or any(not 0 <= times <= 1e6 for times in self.days):
            raise ValueError("points: a multiple is below 0 or above 1e6; give numbers from 0 on")
        if self.points_every_s is not None and (not seconds or seconds[-1] > self.points_every_s):
            raise ValueError("pointsEverySeconds: ends before the points do; give a longer time, or fewer points")
        if len(self.states) == 1:
            raise ValueError("states: there is one; give two or more, or none")
        return self


class LengthSpec(SpecModel):
    """Lengths in tokens: lognormal, cut at 1 and `max`."""

    mean: float = Field(ge=1, le=MAX_TOKENS)
    """Mean before the cut."""
    cv: float = Field(default=1.0, ge=0, le=10)
    """Standard deviation over mean; 0: all alike."""
    max: int = Field(default=16_384, ge=1, le=MAX_TOKENS)
    """Longest."""

    @model_validator(mode="after")
    def _mean_is_below_max(self) -> Self:
        if self.mean > self.max:
            raise ValueError(f"mean: {self.mean:g} is above max {self.max}; lower one or raise the other")
        return self


class SystemPromptsSpec(SpecModel):
    """Prompts of their own kind that all requests begin with; their whole blocks are shared."""

    count: int = Field(default=1, ge=1, le=1_000_000)
    """How many different ones."""
    tokens: int = Field(ge=1, le=MAX_TOKENS)
    """How long each is."""
    skew: float = Field(default=0.0, ge=0, le=5)
    """How unequal they are in use: the k-th is used 1/k^skew as often as the first; 0: all equally often."""


class SessionsSpec(SpecModel):
    """Conversations: each turn's prompt is all that was said, answers included, and something new."""

    turns: float = Field(default=4.0, ge=1, le=10_000)
    """Mean turns of a conversation; geometric."""
    think_s: float = Field(default=30.0, ge=0, le=86_400)
    """Mean seconds from one turn to the next; exponential, whatever the server did meanwhile."""
    max_context_tokens: int = Field(default=32_768, ge=2, le=MAX_TOKENS)
    """A conversation that would outgrow it ends."""


class GenerateSpec(SpecModel):
    """Requests that are drawn."""

    duration_s: float = Field(gt=0, le=_MOST_S)
    """Seconds in which requests come."""
    rate: RateSpec = RateSpec()
    """How many come when. With sessions it counts turns, and conversations begin at `1 / turns` of it."""
    input: LengthSpec = LengthSpec(mean=1000)
    """New prompt tokens of a request, without system prompt and history."""
    output: LengthSpec = LengthSpec(mean=100)
    """Output tokens."""
    lengths_from: str | None = None
    """A trace whose pairs of prompt and output length are drawn instead of `input` and `output`."""
    system_prompts: SystemPromptsSpec | None = None
    """Prompts that requests share."""
    sessions: SessionsSpec | None = None
    """Conversations whose history grows. Default: each request stands alone."""
    block_tokens: int = Field(default=BLOCK_TOKENS, ge=1, le=65_536)
    """Tokens of a prefix block; Mooncake's have 512."""

    @model_validator(mode="after")
    def _prompt_fits_the_context(self) -> Self:
        if self.system_prompts is not None and self.sessions is not None:
            tokens, room = self.system_prompts.tokens, self.sessions.max_context_tokens
            if tokens + 2 > room:
                raise ValueError(f"systemPrompts.tokens: {tokens} leave no room in maxContextTokens {room}; lower it")
        return self


class PartSpec(SpecModel):
    """A part of a workload: one of `generate`, `trace`, `phases` and `overlay`, and what is done to it.

    What is done comes in this order: cut (`startSeconds`, `durationSeconds`), `speed`, `share` and lengths, `repeat`,
    `delaySeconds`.
    """

    generate: GenerateSpec | None = None
    """Requests that are drawn."""
    trace: str | None = None
    """A trace: a file, beside this one unless its path begins with /, or one that ships."""
    phases: tuple["PartSpec", ...] = ()
    """Parts one after another."""
    overlay: tuple["PartSpec", ...] = ()
    """Parts at the same time."""
    start_s: float = Field(default=0.0, ge=0, le=_MOST_S)
    """Where in it to begin, in its own seconds."""
    duration_s: float | None = Field(default=None, gt=0, le=_MOST_S)
    """How much of it, in its own seconds. Default: all; a trace ends with its last request."""
    speed: float = Field(default=1.0, gt=0, le=1e6)
    """Times as fast: 2 doubles the rate and halves the time."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Share of its requests that are kept, at random: scales the rate down."""
    input_times: float = Field(default=1.0, gt=0, le=1000)
    """Prompts this many times as long, at least 1 token. Prefix blocks stay as they are where the prompt holds them."""
    output_times: float = Field(default=1.0, gt=0, le=1000)
    """Outputs this many times as long, at least 1 token."""
    repeat: int = Field(default=1, ge=1, le=100_000)
    """Times that it is played: a generator draws anew, a trace asks the same again."""
    delay_s: float = Field(default=0.0, ge=0, le=_MOST_S)
    """Seconds before it begins."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = [name for name in ("generate", "trace", "phases", "overlay") if getattr(self, name)]
        if len(given) != 1:
            has = f"has {' and '.join(given)}" if given else "says nothing to play"
            raise ValueError(f"it {has}; give one of generate, trace, phases, overlay")
        if _depth(self) > _DEPTH:
            raise ValueError(f"it has more than {_DEPTH} levels; flatten it")
        return self


class WorkloadBody(PartSpec):
    """The `spec` of a Workload: a [part](#part), and the seed of all that is drawn."""

    seed: int = Field(default=0, ge=0)
    """With `--seed` it decides all that is drawn: the same two give the same bytes."""


class Workload(SpecModel):
    """A made workload, as a file. Wherever a command takes a trace, it takes this."""

    api_version: Literal["penstock.dev/v1alpha1"]
    """Version of this format."""
    kind: Literal["Workload"]
    """Kind of object."""
    spec: WorkloadBody
    """What comes."""


def _depth(part: PartSpec) -> int:
    return 1 + max((_depth(below) for below in (*part.phases, *part.overlay)), default=0)
