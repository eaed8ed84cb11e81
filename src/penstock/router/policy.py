"""Which worker of a pool: small strategies over the same workers and prices.

All are deterministic. Equals go to the worker that was chosen least recently.
"""

from collections.abc import Callable, Iterable
from math import inf
from operator import attrgetter
from typing import Literal, Protocol

from penstock.router.candidate import Candidate
from penstock.router.pool import Pool, drained_at_of, floor_of
from penstock.router.price import Ask, Figures

PolicyName = Literal["kv", "least-loaded", "round-robin"]
PriceOf = Callable[[Candidate, Ask, int], Figures]
Pick = tuple[Candidate, Figures, int]  # the worker, its price, its hit in tokens
ROUNDING_S = 1e-9  # a bound and a price are sums in another order: equals must not look like more


class Policy(Protocol):
    """Picks a worker. Changes nothing."""

    @property
    def name(self) -> PolicyName:
        """As the deployment spec and the command line call it."""

    def pick(self, pool: Pool, ask: Ask, price_of: PriceOf) -> Pick | None:
        """Pick one that isn't excluded; None, if there is none."""


class CheapestInSeconds:
    """`kv`: the least price (`price`), prefix hits included."""

    name: PolicyName = "kv"

    def pick(self, pool: Pool, ask: Ask, price_of: PriceOf) -> Pick | None:
        """Price all, or, of many, as many as needed to be sure."""
        workers = pool.up_to_date()
        if not pool.many:
            return _cheapest(None, workers, ask, price_of, floor_of, -inf)
        best: Pick | None = None
        most_hit = 0
        if ask.levels:
            # Those with the longest hit first; what the others find is less.
            most_hit, mask = ask.levels[0]
            if mask.bit_count() <= len(workers) // 2:
                best = _cheapest(None, pool.in_mask(mask), ask, price_of, floor_of, -inf)
                most_hit = ask.levels[1][0] if len(ask.levels) > 1 else 0
        least_s = price_of(pool.ideal, ask, most_hit)[0]
        best = _cheapest(best, pool.calm, ask, price_of, floor_of, least_s)
        return _cheapest(best, pool.busy, ask, price_of, drained_at_of, least_s - ask.now_s)


def _cheapest(
    best: Pick | None,
    workers: Iterable[Candidate],
    ask: Ask,
    price_of: PriceOf,
    bound_of: Callable[[Candidate], float],
    least_s: float,
) -> Pick | None:
    """The cheaper of `best` and these workers. Ends at the first whose bound plus `least_s` is above the best price."""
    best_s, best_turn = (best[1][0], best[0].turn) if best is not None else (inf, 0)
    exclude, levels = ask.exclude, ask.levels
    hit = 0
    for worker in workers:
        if bound_of(worker) + least_s > best_s + ROUNDING_S:
            break
        if worker.id in exclude:
            continue
        if levels:
            hit = ask.hit_tokens(worker.bit)
        figures = price_of(worker, ask, hit)
        price_s = figures[0]
        if price_s < best_s or (price_s == best_s and worker.turn < best_turn):
            best, best_s, best_turn = (worker, figures, hit), price_s, worker.turn
    return best


class LeastLoaded:
    """`least-loaded`: the fewest requests in flight. Knows nothing of prefixes or lengths."""

    name: PolicyName = "least-loaded"

    def pick(self, pool: Pool, ask: Ask, price_of: PriceOf) -> Pick | None:
        """Pick by requests in flight, ours and others'."""
        usable = (worker for worker in pool.up_to_date() if worker.id not in ask.exclude)
        return _priced(min(usable, key=_load_then_turn, default=None), ask, price_of)


class RoundRobin:
    """`round-robin`: the one chosen least recently."""

    name: PolicyName = "round-robin"

    def pick(self, pool: Pool, ask: Ask, price_of: PriceOf) -> Pick | None:
        """Pick by turn alone."""
        usable = (worker for worker in pool.up_to_date() if worker.id not in ask.exclude)
        return _priced(min(usable, key=_turn, default=None), ask, price_of)


POLICIES: dict[PolicyName, Policy] = {
    policy.name: policy for policy in (CheapestInSeconds(), LeastLoaded(), RoundRobin())
}

_turn = attrgetter("turn")


def _load_then_turn(worker: Candidate) -> tuple[float, int]:
    return worker.load.in_flight, worker.turn


def _priced(worker: Candidate | None, ask: Ask, price_of: PriceOf) -> Pick | None:
    if worker is None:
        return None
    hit = ask.hit_tokens(worker.bit)
    return worker, price_of(worker, ask, hit), hit
