"""From a question to an answer: prune, rank by price, simulate the cheapest, go on while a cheaper one might be left.

Estimates rest on one replica under Poisson arrivals, so they only rank; what counts is simulated. The runs are
independent and spread over all cores.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from penstock.hardware.derived_engine import serving_of
from penstock.messages.confidence import Confidence
from penstock.messages.engine_spec import GpuSpec
from penstock.recommend.demand import Demand, demand_of
from penstock.recommend.estimate import estimate
from penstock.recommend.option import MODES, Option
from penstock.recommend.options import all_cuts
from penstock.recommend.question import Question
from penstock.recommend.search import search

ROUNDS = 3  # of finalists, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All options, those that hold the targets first, the cheapest on top; `best`: None, if none does."""

    question: Question
    demand: Demand
    options: tuple[Option, ...]

    @property
    def best(self) -> Option | None:
        return next((option for option in self.options if option.chosen is not None), None)

    def confidence(self, option: Option) -> Confidence:
        """How far its step times may be off."""
        question = self.question
        gpu = GpuSpec(vm_size=option.cut.sizes[0].name, count=option.cut.gpus)
        return question.profile.confidence(serving_of(question.engine, gpu, question.shape))


def recommend(question: Question, *, finalists: int, tell: Callable[[str], None] = lambda line: None) -> Answer:
    """Find the cheapest way.

    Args:
        finalists: options that are simulated in a round, of either mode.
        tell: is given a line whenever a part is done.
    Raises: InputError, for a workload that cannot be read.
    """
    demand = demand_of(question.source.arrivals(), percentile=question.slo.percentile)
    cuts = all_cuts(question)
    with ProcessPoolExecutor() as pool:
        found = pool.map(estimate, [question] * len(cuts), [demand] * len(cuts), cuts)
        options = [option for each in found for option in each]
        left = [option for option in options if option.why_not is None]
        tell(f"{len(options)} options, {len(left)} may hold the targets")
        done = [option for option in options if option.why_not is not None]
        for _ in range(ROUNDS):
            chosen = _next(left, done, finalists)
            if not chosen:
                break
            for option in pool.map(search, [question] * len(chosen), chosen):
                done.append(option)
                tell(_said(option))
            left = [option for option in left if option not in chosen]
    return Answer(question=question, demand=demand, options=_ranked([*done, *left]))


def _next(left: Sequence[Option], done: Sequence[Option], finalists: int) -> list[Option]:
    """The cheapest by estimate of either mode; from the second round on those that might beat the best so far."""
    held = [option for option in done if option.chosen is not None]
    # Estimates err alike on one workload: the others take at least as many times their fewest as those simulated did.
    times = min((sum(option.replicas) / sum(option.fewest) for option in held), default=1.0)

    def price(option: Option) -> float:
        return option.cut.usd_per_hour(math.ceil(times * sum(option.fewest)))

    by_price = sorted(left, key=lambda option: (price(option), option.cut.gpus))
    if not any(option.simulated for option in done):
        share = -(-finalists // len(MODES))
        return [option for mode in MODES for option in [each for each in by_price if each.mode == mode][:share]]
    best = min((option.usd_per_hour or math.inf for option in held), default=math.inf)
    return [option for option in by_price if price(option) < best][:finalists]


def _ranked(options: Sequence[Option]) -> tuple[Option, ...]:
    """Simulated and held, then estimated only, then what cannot; each by price, then by GPUs that work."""

    def key(option: Option) -> tuple[int, float, int]:
        group = 2 if option.why_not is not None else 0 if option.chosen is not None else 1
        price = math.inf if option.usd_per_hour is None else option.usd_per_hour
        return group, price, option.cut.gpus * sum(option.replicas)

    return tuple(sorted(options, key=key))


def _said(option: Option) -> str:
    what = option.why_not or f"{'+'.join(map(str, option.replicas))} replicas, ${option.usd_per_hour:,.2f} an hour"
    return f"{option.name}, {option.mode}: {what} ({len(option.trials)} simulations)"
