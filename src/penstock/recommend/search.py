"""The fewest replicas with which an option holds the targets, found by simulating it over the workload.

Holding means: in at least `ATTAIN` of the windows both percentiles are within target. More replicas are taken to hold
whatever fewer do. With prefill and decode apart, a pool grows while windows miss what it answers for; once both hold,
each shrinks in turn as far as it can. That is a pair from which neither can do with less, not surely the cheapest.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from penstock.errors import GiveUp
from penstock.messages.spec import ModelSpec, SloSpec
from penstock.recommend.option import Counts, Option, Trial, deployment
from penstock.recommend.question import Question
from penstock.simulator.records import Records
from penstock.simulator.run import simulate
from penstock.telemetry.log_histogram import rank
from penstock.telemetry.summary import Window

ATTAIN = 0.99
GROWTH = 1.4  # of a pool that is too small
MOST_TIMES, MOST_MORE = 4, 8  # replicas that are tried at most: so many times the estimate, and so many more


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a simulation showed: whether it held, and else in how many windows it missed first tokens, and gaps."""

    held: bool
    ttft_missed: int
    itl_missed: int


class _Search:
    def __init__(self, question: Question, option: Option) -> None:
        self._question, self._option = question, option
        self._model = ModelSpec(name=question.model)
        self._seen: dict[Counts, _Seen] = {}
        self.trials: list[Trial] = []
        self.gave_up: str | None = None

    def held(self, counts: Counts) -> bool:
        return self.seen(counts).held

    def seen(self, counts: Counts) -> _Seen:
        if counts not in self._seen:
            self._seen[counts] = self._simulated(counts)
        return self._seen[counts]

    def trial(self, counts: Counts) -> Trial:
        return next(trial for trial in self.trials if trial.counts == counts)

    def _simulated(self, counts: Counts) -> _Seen:
        question, option = self._question, self._option
        spec = deployment(self._model, question.slo, option, counts)
        records = Records(question.slo)
        try:
            result = simulate(spec, question.source.arrivals(), seed=question.source.seed, records=records).result
        except GiveUp as error:
            self.gave_up = str(error)
            return _Seen(False, 1, 1)
        trial = Trial(counts=counts, usd_per_hour=option.cut.usd_per_hour(sum(counts)), result=result)
        self.trials.append(trial)
        missed = [_missed(window, question.slo) for window in records.summary.windows]
        ttft, itl = (sum(each[place] for each in missed) for place in (0, 1))
        return _Seen(trial.attainment >= ATTAIN, ttft, itl)


def search(question: Question, option: Option) -> Option:
    """Simulate the option; it comes back with its trials, and what was chosen or why nothing holds."""
    looking = _Search(question, option)
    most = tuple(MOST_TIMES * count + MOST_MORE for count in option.counts)
    found = (_one_pool if len(most) == 1 else _two_pools)(looking, option.counts, most)
    trials = tuple(sorted(looking.trials, key=lambda trial: trial.counts))
    if found is None:
        return replace(option, trials=trials, why_not=_why(trials, question.slo, looking.gave_up))
    return replace(option, trials=trials, chosen=looking.trial(found))


def _one_pool(looking: _Search, start: Counts, most: Counts) -> Counts | None:
    count = _grown(lambda count: looking.held((count,)), start[0], most[0])
    return None if count is None else (_fewest(lambda fewer: looking.held((fewer,)), count),)


def _two_pools(looking: _Search, start: Counts, most: Counts) -> Counts | None:
    prefill, decode = start
    while not (seen := looking.seen((prefill, decode))).held:
        if (prefill, decode) == most:
            return None
        # First tokens are late where prompts queue, and where decode has no room: if prefill is at its end, decode.
        more_prefill = seen.ttft_missed > 0 and prefill < most[0]
        more_decode = seen.itl_missed > 0 or not more_prefill
        grown_prefill = _more(prefill, most[0]) if more_prefill else prefill
        grown_decode = _more(decode, most[1]) if more_decode else decode
        if (grown_prefill, grown_decode) == (prefill, decode):
            return None
        prefill, decode = grown_prefill, grown_decode
    prefill = _fewest(lambda fewer: looking.held((fewer, decode)), prefill)
    decode = _fewest(lambda fewer: looking.held((prefill, fewer)), decode)
    return prefill, decode


def _grown(held: Callable[[int], bool], start: int, most: int) -> int | None:
    """The first that holds, from the start on by leaps; None if none does."""
    count = start
    while not held(count):
        if count == most:
            return None
        count = _more(count, most)
    return count


def _fewest(held: Callable[[int], bool], enough: int) -> int:
    """The smallest count that holds, given one that does; looks not far below it first, for the estimate is near."""
    low, high = 0, enough  # low does not hold, high does
    middle = math.ceil(high / GROWTH) if high > 2 else high - 1
    while high - low > 1:
        if held(middle):
            high = middle
        else:
            low = middle
        middle = (low + high) // 2
    return high


def _more(count: int, most: int) -> int:
    return min(most, max(count + 1, math.ceil(count * GROWTH)))


def _missed(window: Window, slo: SloSpec) -> tuple[bool, bool]:
    """Whether its first tokens were late, and its gaps."""
    late = window.ttft_within < rank(window.requests, slo.percentile)
    return late, bool(window.gaps) and window.gaps_within < rank(window.gaps, slo.percentile)


def _why(trials: tuple[Trial, ...], slo: SloSpec, gave_up: str | None) -> str:
    if not trials:
        return gave_up or "no simulation came to its end"
    best = max(trials, key=lambda trial: trial.attainment)
    counts = " + ".join(str(count) for count in best.counts)
    ttft, itl = best.result.ttft_s.p95 or 0.0, best.result.itl_s.p95 or 0.0
    return (
        f"simulated: {counts} replicas hold the targets in {best.attainment:.1%} of windows only "
        f"(TTFT p95 {ttft:.2f} s of {slo.ttft_s:g}, ITL p95 {itl * 1e3:.0f} ms of {slo.itl_s * 1e3:g})"
    )
