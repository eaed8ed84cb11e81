"""A few replicas played through in virtual time: do they hold the targets at this rate and mix?

The engine core that workers and simulator run, on a clock of ticks, meets Poisson arrivals of the mix; each request
goes where the fewest prompt tokens wait, by turns where as few do. What counts
is the share of requests whose first token came in time, and the share of tokens that followed their predecessor in
time, once the run has warmed up. A pool that cannot keep up fails by itself: its queue grows and first tokens come
late.

It knows no router beyond that, and no start-up. By role: a prefill engine is asked for first tokens,
and holds each prompt's KV until it would have been read; a decode engine is asked for its tokens, and for letting a
request in within the time that it is given for that.

Prefix hits: the first `hit_ratio` of each prompt is one of a few shared prefixes, which the run computes once.
"""

from dataclasses import dataclass, replace
from heapq import heappop, heappush

from penstock.autoscale.arrivals import Arrival, Mix, arrivals, prompts_above
from penstock.engine.batch import Batch
from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.timeline import Gaps, Moment, Timeline
from penstock.hardware.steptime import TICKS_PER_S, StepTime, attention_pairs
from penstock.messages.worker import Role

SHARED_PREFIXES = 8  # few enough to be hit from the start, many enough to take room
PAGE_TOKENS = 128  # hashes name pages of about this size: finer ones cost time and tell no more
# Requests of one run: enough for a percentile (with 800, a rate near a cliff was 15 % off),
FEWEST = 1600
# for the replica to fill up: about three times what it then holds,
TURNOVERS, MOST_TURNED_OVER = 3.0, 3200
# and for an overload of 5 % to show: a queue that grows by that share outgrows the target within 20 times the target.
LONG_IN_TTFT, MOST = 20.0, 8000
# But no more than these chunks of prompts take: where a step computes little of a long prompt, a run is many steps.
MOST_CHUNKS, FEWEST_OF_CHUNKS = 8_000, 200
FULL_STEPS = 3  # within which no engine can be asked to begin, however short the run
WARM_UP = 0.25  # of the requests; they only fill the replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """What is rehearsed.

    Args:
        pin_s: how long a prefill engine keeps a prompt's KV for its reader.
        beside: replicas in the pool, this one too, among which requests are dealt out.
    """

    config: EngineConfig
    step_time: StepTime
    longest: int
    pin_s: float = 0.0
    beside: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a replica must hold at the percentile; `itl_s` None: nobody asks."""

    ttft_s: float
    itl_s: float | None
    percentile: float

    @property
    def late(self) -> float:
        """The share that may be late."""
        return 1 - self.percentile / 100


def holds(replica: Replica, mix: Mix, targets: Targets, rate: float) -> bool:
    """Whether each replica holds the targets at `rate` requests/s of this mix."""
    return _Run(replica, mix, targets, rate).play()


def requests_for(replica: Replica, mix: Mix, targets: Targets, rate: float) -> int:
    """How many requests a run takes, in steps that let runs share their arrivals."""
    held = replica.beside * rate * mix.osl * (targets.itl_s or 0.0)  # by Little's law, at the slowest allowed pace
    turned_over = min(TURNOVERS * held, MOST_TURNED_OVER)
    wanted = min(max(turned_over, LONG_IN_TTFT * replica.beside * rate * targets.ttft_s, FEWEST), MOST)
    if replica.config.role is not Role.DECODE:
        chunks = mix.isl * (1 - mix.hit_ratio) / replica.config.max_num_batched_tokens
        if wanted * chunks > MOST_CHUNKS:
            return FEWEST_OF_CHUNKS * max(1, int(MOST_CHUNKS / chunks) // FEWEST_OF_CHUNKS)
    return FEWEST * -(-int(wanted) // FEWEST)


def shown_s(replica: Replica, mix: Mix, targets: Targets, *, requests: int, rate: float) -> float:
    """The TTFT that a run holds a replica to: the target, or less where the run is too short for that.

    At a high rate `requests` are over before an overload has built a queue as long as a lax target allows. A queue that
    would not show could be any, and the search for the highest rate would not end.
    """
    config, step_time = replica.config, replica.step_time
    sequences = 0 if config.role is Role.PREFILL else config.max_num_seqs
    tokens = 0 if config.role is Role.DECODE else config.max_num_batched_tokens
    full = Batch(tokens, attention_pairs(tokens, 0), sequences, round(sequences * (mix.isl + mix.osl)), 1)
    least_s = FULL_STEPS * step_time.first_step(full) / TICKS_PER_S
    return min(targets.ttft_s, max(requests / (LONG_IN_TTFT * replica.beside * rate), least_s))


def alone_too_late(replica: Replica, mix: Mix, targets: Targets) -> bool:
    """Whether more prompts than may be late take longer than the TTFT target on an idle replica: no rate holds it."""
    if replica.config.role is Role.DECODE:
        return False
    step, budget = replica.step_time, replica.config.max_num_batched_tokens
    limit = targets.ttft_s * TICKS_PER_S
    in_time, too_long = 0, replica.longest
    while too_long - in_time > 1:
        tokens = (in_time + too_long) // 2
        cached = round(mix.hit_ratio * tokens)
        new = tokens - cached
        ticks = -(-new // budget) * (step.base + step.prefill_step) + step.prefill_token * new
        ticks += step.prefill_attention * attention_pairs(new, cached)
        in_time, too_long = (tokens, too_long) if ticks <= limit else (in_time, tokens)
    return too_long < replica.longest and prompts_above(mix, in_time) > targets.late


class _Run:
    """One rehearsal at one rate."""

    def __init__(self, replica: Replica, mix: Mix, targets: Targets, rate: float) -> None:
        count = requests_for(replica, mix, targets, rate)
        self._requests = arrivals(mix, count, replica.longest)
        self._tick = TICKS_PER_S / (rate * replica.beside)
        self._role = replica.config.role
        share = mix.hit_ratio if self._role is not Role.DECODE else 0.0
        config = replica.config
        if share:
            tokens = max(config.block_tokens, min(PAGE_TOKENS, int(mix.isl / 8)))
            config = replace(config, page_blocks=max(1, tokens // config.block_tokens))
        self._hit_share, self._page_tokens = share, config.page_tokens
        self._timelines = [Timeline(Engine(config), replica.step_time) for _ in range(replica.beside)]
        self._places = range(replica.beside)
        self._load = [0] * replica.beside  # prompt tokens to be computed
        self._loads: dict[int, int] = {}  # the same by request without a first token
        self._warm = int(WARM_UP * count)
        self._warm_at = int(self._requests[self._warm].at * self._tick)
        self._last_at = int(self._requests[-1].at * self._tick)
        measured = count - self._warm
        self._ttft = int(shown_s(replica, mix, targets, requests=count, rate=rate) * TICKS_PER_S)
        self._itl = None if targets.itl_s is None else int(targets.itl_s * TICKS_PER_S)
        self._late_share = targets.late
        self._late_allowed = int(targets.late * measured + 1e-9)
        # No run can give more tokens than this, so more late ones than its share decide at once.
        tokens = sum(request.output_tokens for request in self._requests)
        self._late_tokens_allowed = targets.late * tokens
        self._pin = int(replica.pin_s * TICKS_PER_S)
        self._due: dict[int, int] = {}  # by measured request without a first token: when that is due
        self._late = self._tokens = self._late_tokens = 0
        self._releases: list[list[tuple[int, int]]] = [[] for _ in self._timelines]

    def play(self) -> bool:
        load, turns = self._load, [-1] * len(self._load)
        for number, arrival in enumerate(self._requests):
            at = int(arrival.at * self._tick)
            self._advance(at)
            if self._lost:
                return False
            chosen = min(self._places, key=lambda place: (load[place], turns[place]))
            turns[chosen] = number
            load[chosen] += arrival.prompt_tokens
            self._loads[number] = arrival.prompt_tokens
            self._timelines[chosen].add(at, self._request(number, arrival))
            if number >= self._warm:
                self._due[number] = at + self._ttft
        self._advance(self._last_at + self._ttft + 1)
        self._late += len(self._due)
        return not self._lost and self._late_tokens <= self._late_share * self._tokens

    @property
    def _lost(self) -> bool:
        return self._late > self._late_allowed or self._late_tokens > self._late_tokens_allowed

    def _advance(self, to: int) -> None:
        """Let steps end and pinned KV be read, in the order of instants at each replica."""
        for place, timeline in enumerate(self._timelines):
            releases = self._releases[place]
            while True:
                until = min(to, releases[0][0]) if releases else to
                for moment in timeline.advance(until):
                    self._note(place, moment)
                while releases and releases[0][0] <= until:
                    _, number = heappop(releases)
                    timeline.release(until, number)
                if until == to and not (releases and releases[0][0] <= to):
                    break

    def _note(self, place: int, moment: Moment) -> None:
        progress, at = moment.progress, moment.at
        for number in progress.first_tokens:
            self._load[place] -= self._loads.pop(number)
            due = self._due.pop(number, None)
            if due is not None and at > due:
                self._late += 1
        for number in progress.prefilled:
            heappush(self._releases[place], (at + self._pin, number))
        if self._itl is not None and self._warm_at <= at <= self._last_at:
            for gap in moment.gaps:
                self._tokens += gap.steps * gap.sequences
                self._late_tokens += late_tokens(gap, self._itl)

    def _request(self, number: int, arrival: Arrival) -> EngineRequest:
        hashes: range | tuple[int, ...] = ()
        if self._hit_share:
            pages = round(self._hit_share * arrival.prompt_tokens / self._page_tokens)
            first = (1 + number % SHARED_PREFIXES) << 32
            hashes = range(first, first + pages)
        return EngineRequest(number, arrival.prompt_tokens, arrival.output_tokens, hashes)


def late_tokens(gaps: Gaps, limit: int) -> int:
    """How many tokens of a burst came more than `limit` ticks after their predecessor. Gaps only grow."""
    if gaps.first > limit:
        return gaps.steps * gaps.sequences
    if not gaps.growth:
        return 0
    in_time = (limit - gaps.first) // gaps.growth + 1
    return max(0, gaps.steps - in_time) * gaps.sequences
