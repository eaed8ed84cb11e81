"""How many replicas each window needs: the least count that keeps it within target, found by simulation.

More replicas meet every window that fewer meet, but for chance; so each window's need is halved in, and one run serves
all windows that can learn from its count. A run covers only what is still open of a stretch (`stretches`), after a
warm-up. Of several pools, each is searched while the others have as many replicas as anybody may have.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from statistics import median_low

from penstock.errors import GiveUp
from penstock.messages.scaling_spec import NoScaling
from penstock.messages.spec import DeploymentBody
from penstock.simulator.records import Records
from penstock.simulator.run import simulate
from penstock.simulator.stretches import WARM_UP_S, Stretch, stretches
from penstock.simulator.watched_jobs import watchers
from penstock.simulator.workload_source import WorkloadSource

Needs = dict[str, list[int]]  # by pool; per window, 0 where no request came
Met = Callable[[int, int, int], dict[int, bool]]  # (count, first window, last) to whether each was met


def needed(spec: DeploymentBody, most: int, source: WorkloadSource, pool: Executor) -> Needs:
    """Replicas that each window needed of each pool; shape (n_windows,) each.

    Where no count below `most` is enough, `most`.
    """
    found: list[Needs] = []
    running: deque[Future[Needs]] = deque()
    per_replica: dict[str, float] = {}
    for stretch in stretches(source.arrivals(), spec.slo.window_s):
        running.append(pool.submit(search_stretch, spec, most, stretch, per_replica, source.seed))
        if not per_replica:  # the first alone: where the others begin to search must not hang on who is done when
            found.append(running.popleft().result())
            per_replica = _tokens_per_replica(stretch, found[-1]) if any(stretch.tokens) else {}
        if len(running) > 2 * (os.cpu_count() or 1):  # so that memory does not grow with the workload
            found.append(running.popleft().result())
    found += [future.result() for future in running]
    return {name: [need for part in found for need in part[name]] for name in found[0]}


def _tokens_per_replica(stretch: Stretch, needs: Needs) -> dict[str, float]:
    return {name: max(1.0, sum(stretch.tokens) / max(1, sum(need))) for name, need in needs.items()}


def search_stretch(
    spec: DeploymentBody, most: int, stretch: Stretch, per_replica: dict[str, float], seed: int
) -> Needs:
    """The needs of one stretch, in whatever process.

    Args:
        per_replica: tokens that a replica carries in a window, by pool: where the search begins, if known.
    """
    if not any(stretch.tokens):
        return {component.name: [0] * len(stretch.tokens) for component in spec.pools}
    needs = {}
    for component in spec.pools:

        def met_in(part: Stretch, name: str = component.name) -> Met:
            def met(count: int, first: int, last: int) -> dict[int, bool]:
                counts = {pool.name: count if pool.name == name else most for pool in spec.pools}
                return _met(with_counts(spec, counts), part, first, last, seed)

            return met

        carries = per_replica.get(component.name) or _carried_at_its_peak(met_in, stretch, most)
        guesses = [max(1, round(tokens / carries)) for tokens in stretch.tokens]
        needs[component.name] = least_counts(met_in(stretch), stretch, guesses, most)
    return needs


def _carried_at_its_peak(met_in: Callable[[Stretch], Met], stretch: Stretch, most: int) -> float:
    """Tokens per replica of its busiest window, found from one replica up: far too few are slow, and here are few.

    It says only where to begin, so caches need not have filled.
    """
    at = max(range(len(stretch.tokens)), key=stretch.tokens.__getitem__)
    only = replace(
        stretch,
        tokens=[tokens if place == at else 0 for place, tokens in enumerate(stretch.tokens)],
        warm_up=min(stretch.warm_up, max(2, round(WARM_UP_S / stretch.window_s))),
    )
    (need,) = filter(None, least_counts(met_in(only), only, [1] * len(stretch.tokens), most))
    return max(1.0, stretch.tokens[at] / need)


@dataclass(slots=True)
class _Open:
    """A window whose need is above `low` and at most `high`."""

    low: int
    high: int
    guess: int
    tries: int = 0

    def next_count(self, most: int) -> int:
        """From the guess on in growing steps, until both ends are known; then halve."""
        if self.low and self.high < most:
            return (self.low + self.high) // 2
        if self.low:
            wanted = self.low + (1 << self.tries - 1)
        elif self.high < most:
            wanted = self.high - (1 << self.tries - 1)
        else:
            wanted = self.guess
        return min(max(wanted, self.low + 1), self.high - 1)

    def learn(self, count: int, met: bool) -> None:
        """What a run with that count says."""
        self.tries += 1
        if met:
            self.high = min(self.high, count)
        else:
            self.low = max(self.low, count)


def least_counts(met: Met, stretch: Stretch, guesses: Sequence[int], most: int) -> list[int]:
    """The least count that meets each window of a stretch, or `most`; 0 where no request comes.

    Args:
        met: asked once for a count and a span of windows; its answers for windows that are not open are passed over.
    """
    open_at = {
        stretch.first + place: _Open(0, most, guess) for place, guess in enumerate(guesses) if stretch.tokens[place]
    }
    needs = dict.fromkeys(open_at, most)
    while open_at := {at: each for at, each in open_at.items() if each.high - each.low > 1}:
        count = median_low([each.next_count(most) for each in open_at.values()])
        asked = [at for at, each in open_at.items() if each.low < count < each.high]
        for first, last in _spans(asked, apart=stretch.warm_up):
            answers = met(count, first, last)
            for at in asked:
                if first <= at <= last:
                    open_at[at].learn(count, answers.get(at, False))
                    needs[at] = open_at[at].high
    return [needs.get(stretch.first + place, 0) for place in range(len(stretch.tokens))]


def _spans(windows: Sequence[int], *, apart: int) -> list[tuple[int, int]]:
    """First and last of each group; those further apart than a warm-up are cheaper alone."""
    spans: list[tuple[int, int]] = []
    for at in windows:
        if spans and at - spans[-1][1] <= apart:
            spans[-1] = (spans[-1][0], at)
        else:
            spans.append((at, at))
    return spans


def _met(spec: DeploymentBody, stretch: Stretch, first: int, last: int, seed: int) -> dict[int, bool]:
    arrivals, begins = stretch.part(first, last)
    records = Records(spec.slo)
    with contextlib.suppress(GiveUp):  # too few replicas by far: no window after that is met
        simulate(spec, arrivals, seed=seed, listeners=watchers(), records=records)
    window_s = spec.slo.window_s
    return {begins + round(each.start_s / window_s): each.met(spec.slo) for each in records.summary.windows}


def with_counts(spec: DeploymentBody, replicas: dict[str, int]) -> DeploymentBody:
    """That many replicas of each pool, there from the start and for good."""
    components = []
    for component in spec.components:
        if component.name in replicas:
            startup = component.engine.startup.model_copy(update={"cold_s": 0.0, "warm_s": 0.0})
            component = component.model_copy(
                update={
                    "replicas": replicas[component.name],
                    "autoscaling": NoScaling(by="none"),
                    "engine": component.engine.model_copy(update={"startup": startup}),
                }
            )
        components.append(component)
    return spec.model_copy(update={"components": tuple(components)})
