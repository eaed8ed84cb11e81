"""Router: told what happens, it says where a request goes.

It joins the parts: the prefix index says what each worker would find, expected load what it has to do, a policy
compares. The caller owns time and transport: it calls `choose`, sends, and reports back with `sent`, `first_token` and
`finished`, and passes on KV events and measurements. `choose` and `explain` change nothing that counts.

Prefill and decode workers: the price of a pair is a sum in which the two choices don't meet (the transfer depends on
what the decode worker holds), so each pool is searched alone. Where no prefill worker may be used, a decode worker
takes the whole request, as engines do when the transfer fails. Where whole workers are there too, the cheaper way
wins.

Nothing grows without bound: for requests see `flights`, for blocks `prefix_index`.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

from penstock.errors import InputError
from penstock.messages.worker import Role
from penstock.router.candidate import Candidate, Weights
from penstock.router.demand import Demand
from penstock.router.explanation import Explanation, WorkerPrice
from penstock.router.flights import Flights
from penstock.router.policy import POLICIES, PolicyName, PriceOf
from penstock.router.pool import Pool
from penstock.router.prefix_index import PrefixIndex
from penstock.router.price import Ask, decode_price, whole_price
from penstock.router.route_request import Choice, RequestId, RouteRequest
from penstock.router.worker_info import WorkerInfo, WorkerLoad

SWEEP_EVERY_S: Final = 1.0
FORGIVE_AFTER_S: Final = 30.0  # without observations, corrections fade
FORGIVE_KEEP: Final = 0.977  # with each sweep, once a second: half-life of 30 s
DEFAULT_BLOCKS: Final = 1 << 17  # blocks kept for a worker of unknown size: 2M tokens at 16 a block
OUTPUT_GUESS: Final = 200.0  # tokens, until outputs were seen: Azure's conversations have 211 on average, its code 28


class Router:
    """Places requests on workers. One owner; not for several threads.

    Args:
        policy: `kv`, `least-loaded` or `round-robin`.
        slo_ttft_s, slo_itl_s: targets, which make TTFT and ITL comparable.
        block_tokens: tokens of each block that `RouteRequest.block_hashes` and the KV events name.
        flight_expires_s: a request that has not ended by then is taken for lost; longer than any request may take.
    Raises: InputError, for an unknown policy or values out of range.
    """

    def __init__(
        self,
        policy: PolicyName = "kv",
        slo_ttft_s: float = 0.5,
        slo_itl_s: float = 0.05,
        *,
        block_tokens: int = 16,
        flight_expires_s: float = 900.0,
    ) -> None:
        if policy not in POLICIES:
            raise InputError("routing policy", f"no policy {policy!r}", f"name one of {', '.join(POLICIES)}")
        for name, value in (
            ("slo_ttft_s", slo_ttft_s),
            ("slo_itl_s", slo_itl_s),
            ("block_tokens", block_tokens),
            ("flight_expires_s", flight_expires_s),
        ):
            if not 0 < value < inf:
                raise InputError(f"router {name}", f"{value} will not do", "give a number above 0")
        self.policy = POLICIES[policy]
        self.block_tokens = block_tokens
        self.index = PrefixIndex()
        self._weights = Weights(slo_ttft_s, slo_itl_s, OUTPUT_GUESS)
        self._whole, self._prefill, self._decode = (Pool(self._weights) for _ in range(3))
        self._workers: dict[str, Candidate] = {}
        self._flights = Flights(self.index, self._weights, expires_s=flight_expires_s)
        self._demand = Demand()
        self._turn = 0
        self._sweep_at_s = 0.0

    # --- workers

    @property
    def workers(self) -> tuple[str, ...]:
        """Ids of all workers, in the order in which they came."""
        return tuple(self._workers)

    @property
    def in_flight(self) -> int:
        """Requests sent and not finished."""
        return len(self._flights)

    def add_worker(self, info: WorkerInfo) -> None:
        """Take in a worker. One that is known already keeps what is known of it. Raises: InputError, for a frontend."""
        if info.id in self._workers:
            return
        if info.role is Role.FRONTEND:
            raise InputError(f"worker {info.id}", "a frontend runs no engine", "give it role worker, prefill or decode")
        self._turn += 1
        worker = Candidate(info, turn=self._turn)
        limit = DEFAULT_BLOCKS
        if info.engine is not None:
            limit = max(1, info.engine.kv_blocks * info.engine.block_tokens // self.block_tokens)
        # With events, room for what is expected or whose removal is still under way; without, just what the engine has.
        self.index.add(info.id, limit=2 * limit if info.kv_events else limit, publishes=info.kv_events)
        worker.bit = self.index.bit(info.id)
        self._workers[info.id] = worker
        self._pool(worker).add(worker)

    def remove_worker(self, worker: str) -> None:
        """A worker is gone, and its cache and requests with it; those must be sent again, or reported `finished`."""
        candidate = self._workers.pop(worker, None)
        if candidate is None:
            return
        self._pool(candidate).remove(candidate)
        self.index.drop(worker)

    # --- the choice

    def choose(self, request: RouteRequest, *, now_s: float) -> Choice | None:
        """Name the worker, or the pair. None, if there is none that isn't excluded. Does not mutate."""
        ask = self._ask(request, now_s)
        best: Choice | None = None
        if self._whole.workers:
            picked = self.policy.pick(self._whole, ask, whole_price)
            if picked is not None:
                worker, figures, hit = picked
                best = Choice(worker.id, None, hit, figures[1] + figures[2], figures[0])
        if self._decode.workers:
            apart = self._choose_apart(ask)
            if apart is not None and (best is None or apart.cost_s < best.cost_s):
                best = apart
        return best

    def explain(self, request: RouteRequest, now_s: float) -> Explanation:
        """Every worker's price for this request, and which would be chosen. Does not mutate."""
        choice = self.choose(request, now_s=now_s)
        ask = self._ask(request, now_s)
        prices = self._prices(self._whole, Role.WORKER, whole_price, ask, choice)
        prices += self._prices(self._prefill, Role.PREFILL, whole_price, ask, choice)
        if any(worker.id not in request.exclude for worker in self._prefill.workers):
            prices += self._prices(self._decode, Role.DECODE, decode_price, ask, choice)
        else:
            prices += self._prices(self._decode, Role.WORKER, whole_price, ask, choice)
        return Explanation(
            request=request.id,
            policy=self.policy.name,
            time_s=now_s,
            prompt_tokens=request.prompt_tokens,
            choice=choice,
            prices=tuple(prices),
        )

    def _choose_apart(self, ask: Ask) -> Choice | None:
        pick = self.policy.pick
        first = pick(self._prefill, ask, whole_price)
        if first is None:
            alone = pick(self._decode, ask, whole_price)
            if alone is None:
                return None
            worker, figures, hit = alone
            return Choice(worker.id, None, hit, figures[1] + figures[2], figures[0])
        second = pick(self._decode, ask, decode_price)
        if second is None:
            return None
        prefill, (prefill_total_s, queue_s, prefill_s, _, _), hit = first
        worker, (total_s, then_s, _, transfer_s, _), _ = second
        ttft_s = queue_s + prefill_s + transfer_s + then_s
        return Choice(worker.id, prefill.id, hit, ttft_s, prefill_total_s + total_s)

    def _ask(self, request: RouteRequest, now_s: float) -> Ask:
        levels = self._levels(request) if request.block_hashes else []
        return Ask(request, levels, self._demand.congestion_per_s, self._weights.mean_output_tokens, now_s)

    def _levels(self, request: RouteRequest) -> list[tuple[int, int]]:
        """Hit tokens of the workers. A prompt cached to its end computes its last block: its last token is due."""
        block = self.block_tokens
        most = max(0, (request.prompt_tokens - 1) // block)
        levels = [(min(depth, most) * block, mask) for depth, mask in self.index.match(request.block_hashes)]
        return levels if most else []

    def _prices(self, pool: Pool, stage: Role, price_of: PriceOf, ask: Ask, choice: Choice | None) -> list[WorkerPrice]:
        chosen = (choice.worker, choice.prefill_worker) if choice is not None else ()
        prices = []
        for worker in sorted(pool.up_to_date(), key=lambda worker: worker.turn):
            hit = ask.hit_tokens(worker.bit)
            total_s, queue_s, prefill_s, transfer_s, harm_s = price_of(worker, ask, hit)
            prices.append(
                WorkerPrice(
                    worker=worker.id,
                    stage=stage,
                    hit_tokens=hit,
                    queue_s=queue_s,
                    prefill_s=prefill_s,
                    transfer_s=transfer_s,
                    harm_s=harm_s,
                    total_s=total_s,
                    in_flight=worker.load.in_flight,
                    factor=worker.decode.factor if price_of is decode_price else worker.prefill.factor,
                    excluded=worker.id in ask.exclude,
                    chosen=worker.id in chosen,
                )
            )
        return sorted(prices, key=lambda price: price.total_s)

    # --- expected load

    def sent(self, request: RouteRequest, choice: Choice, now_s: float) -> None:
        """The request was sent as chosen. Sent again, after a failure, it replaces what was."""
        if now_s >= self._sweep_at_s:
            self._sweep(now_s)
        self._flights.replaces(request.id, now_s)
        worker = self._workers.get(choice.worker)
        if worker is None:  # gone since it was chosen
            return
        prefill = worker
        if choice.prefill_worker is not None:
            prefill = self._workers.get(choice.prefill_worker, worker)
        self._turn = worker.turn = prefill.turn = self._turn + 1
        work_s = self._flights.sent(
            request, choice, worker, prefill, block_tokens=self.block_tokens, turn=self._turn, now_s=now_s
        )
        computing = len(self._prefill.workers) or len(self._whole.workers) or len(self._decode.workers)
        self._demand.add(work_s * prefill.prefill.factor, workers=computing, now_s=now_s)

    def first_token(self, request_id: RequestId, now_s: float) -> None:
        """The first token of a request came. Unknown ids are harmless."""
        self._flights.first_token(request_id, now_s)

    def finished(self, request_id: RequestId, now_s: float, output_tokens: int) -> None:
        """A request ended: answered, cut, cancelled or failed (0 tokens and no first one). Unknown ids are harmless."""
        self._flights.finished(request_id, now_s, output_tokens)

    def measured(self, worker: str, load: WorkerLoad, now_s: float) -> None:
        """A scrape or a response told what a worker has. Unknown workers are harmless."""
        candidate = self._workers.get(worker)
        if candidate is None:
            return
        candidate.learn_capacity(load)
        if candidate.load.measured(load, kv_capacity_tokens=candidate.kv_capacity_tokens, now_s=now_s):
            candidate.touch()

    # --- prefix index

    def stored(self, worker: str, hashes: Sequence[int], parent: int | None = None) -> None:
        """A worker's KV event. `parent` is not needed: hashes are chained, so no walk reaches a block without root."""
        self.index.stored(worker, hashes)

    def removed(self, worker: str, hashes: Sequence[int]) -> None:
        """A worker's KV event."""
        self.index.removed(worker, hashes)

    def cleared(self, worker: str) -> None:
        """A worker's KV event: its cache is empty."""
        self.forget(worker)

    def forget(self, worker: str) -> None:
        """Events were lost for good: its cache is unknown until events rebuild it."""
        self.index.forget(worker)
        candidate = self._workers.get(worker)
        if candidate is not None:
            self._pool(candidate).set_bit(candidate, self.index.bit(worker))

    # --- upkeep

    def _pool(self, worker: Candidate) -> Pool:
        if worker.role is Role.PREFILL:
            return self._prefill
        return self._decode if worker.role is Role.DECODE else self._whole

    def _sweep(self, now_s: float) -> None:
        """Let go of what time has overtaken. Once a second, not with each request."""
        self._sweep_at_s = now_s + SWEEP_EVERY_S
        self._flights.sweep(now_s)
        for worker in self._workers.values():
            if worker.load.outdated(now_s):
                worker.touch()
            for correction in (worker.prefill, worker.decode):
                if correction.factor != 1.0 and now_s - correction.observed_at_s > FORGIVE_AFTER_S:
                    correction.relax(FORGIVE_KEEP)
                    worker.touch()
