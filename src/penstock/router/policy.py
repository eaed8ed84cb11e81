"""Which worker of a pool: small strategies over the same workers and prices.

All are deterministic. Equals go to the worker that was chosen least recently.
"""

from collections.abc import Callable, Iterable
from math import inf
from operator import attrgetter
from typing import Final, Literal, Protocol

from penstock.router.candidate import Candidate
from penstock.router.pool import Kind, Pool, Ranked
from penstock.router.price import Ask, Figures

PolicyName = Literal["kv", "least-loaded", "round-robin"]
PriceOf = Callable[[Candidate, Ask, int], Figures]
Pick = tuple[Candidate, Figures, int]  # the worker, its price, its hit in tokens
ROUNDING_S: Final = 1e-9  # a bound and a price are sums in another order: equals must not look like more


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
            return _cheapest(None, workers, ask, price_of)
        best: Pick | None = None
        most_hit = 0
        if ask.levels:
            # Those with the longest hit first; what the others find is less.
            most_hit, mask = ask.levels[0]
            if mask.bit_count() <= len(workers) // 2:
                best = _cheapest(None, pool.in_mask(mask), ask, price_of)
                most_hit = ask.levels[1][0] if len(ask.levels) > 1 else 0
        for kind in pool.idle.values():
            best = _cheapest(best, _one_for_each_hit(kind, pool, ask), ask, price_of)
        least_s = price_of(pool.ideal, ask, most_hit)[0]
        best = _cheapest_ranked(best, pool.calm, ask, price_of, least_s)
        return _cheapest_ranked(best, pool.busy, ask, price_of, least_s - ask.now_s)


def _cheapest(best: Pick | None, workers: Iterable[Candidate], ask: Ask, price_of: PriceOf) -> Pick | None:
    """The cheapest of `best` and these workers."""
    best_s, best_turn = (best[1][0], best[0].turn) if best is not None else (inf, 0)
    exclude, levels = ask.exclude, ask.levels
    hit = 0
    for worker in workers:
        if exclude and worker.id in exclude:
            continue
        if levels:
            hit = ask.hit_tokens(worker.bit)
        figures = price_of(worker, ask, hit)
        price_s = figures[0]
        if price_s < best_s or (price_s == best_s and worker.turn < best_turn):
            best, best_s, best_turn = (worker, figures, hit), price_s, worker.turn
    return best


def _cheapest_ranked(
    best: Pick | None, ranked: list[Ranked], ask: Ask, price_of: PriceOf, least_s: float
) -> Pick | None:
    """The cheapest of `best` and these. Ends at the first whose bound plus `least_s` is above the best price."""
    for bound_s, _, worker in ranked:
        if best is not None and bound_s + least_s > best[1][0] + ROUNDING_S:
            break
        best = _cheapest(best, (worker,), ask, price_of)
    return best


def _one_for_each_hit(kind: Kind, pool: Pool, ask: Ask) -> Iterable[Candidate]:
    """Idle workers of one kind cost the same, given the hit: of each hit, the one chosen least recently."""
    if ask.kv_tokens > kind.ranked[0][2].kv_free_tokens:
        # What lacks counts by how fast it would come free, which goes by the outputs seen when each was last busy.
        yield from (worker for _, _, worker in kind.ranked)
        return
    exclude, rest = ask.exclude, kind.bits
    for _, mask in ask.levels:
        bits = rest & mask
        rest &= ~mask
        if bits:
            workers = (worker for worker in pool.in_mask(bits) if worker.id not in exclude)
            found = min(workers, key=_turn, default=None)
            if found is not None:
                yield found
    if rest:
        for _, _, worker in kind.ranked:
            if worker.bit & rest and worker.id not in exclude:
                yield worker
                return


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
