"""Policies: what each picks, ties, and that stopping early changes nothing."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role
from penstock.router.policy import PolicyName
from penstock.router.route_request import Choice, RouteRequest
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo, WorkerLoad

ENGINE = EngineSpec()


def router_of(policy: PolicyName, workers: int, role: Role = Role.WORKER) -> Router:
    router = Router(policy, 0.5, 0.05, block_tokens=16)
    for number in range(workers):
        router.add_worker(WorkerInfo(id=f"w{number}", engine=ENGINE, role=role))
    return router


def send(router: Router, number: int, *, tokens: int = 1000, now_s: float = 0.0, **more: object) -> Choice:
    request = RouteRequest(id=number, prompt_tokens=tokens, **more)  # type: ignore[arg-type]
    choice = router.choose(request, now_s=now_s)
    assert choice is not None
    router.sent(request, choice, now_s)
    return choice


def test_round_robin_takes_turns_in_the_order_of_joining() -> None:
    """Whatever the lengths."""
    router = router_of("round-robin", 3)
    assert [send(router, n, tokens=1 + 5000 * (n % 3)).worker for n in range(6)] == ["w0", "w1", "w2"] * 2


def test_round_robin_lets_an_excluded_worker_catch_its_turn_later() -> None:
    """It is then the one chosen least recently."""
    router = router_of("round-robin", 3)
    assert send(router, 0, exclude=frozenset({"w0"})).worker == "w1"
    assert send(router, 1).worker == "w0"
    assert send(router, 2).worker == "w2"


def test_least_loaded_counts_requests_not_tokens() -> None:
    """A long prompt is one request."""
    router = router_of("least-loaded", 2)
    assert send(router, 0, tokens=100_000).worker == "w0"
    assert send(router, 1, tokens=1).worker == "w1"
    router.finished(1, 1.0, 10)
    assert send(router, 2).worker == "w1"


def test_least_loaded_counts_what_others_sent() -> None:
    """By what the scrape told."""
    router = router_of("least-loaded", 2)
    router.measured("w0", WorkerLoad(at_s=1.0, running=5, waiting=0), 1.0)
    assert [send(router, n, now_s=1.0).worker for n in range(3)] == ["w1"] * 3


def test_kv_goes_where_the_prefix_is() -> None:
    """All else equal."""
    router = router_of("kv", 4)
    router.stored("w2", range(60))
    choice = send(router, 0, block_hashes=range(62))
    assert choice.worker == "w2"
    assert choice.hit_tokens == 60 * 16


def test_kv_leaves_a_hot_worker_when_its_queue_costs_more_than_the_hit_saves() -> None:
    """A popular prefix must not pile all requests on one worker."""
    router = router_of("kv", 4)
    router.stored("w2", range(60))
    workers = [send(router, n, tokens=3000, block_hashes=[*range(60), 1000 + n]).worker for n in range(40)]
    assert workers[0] == "w2"
    counts = {name: workers.count(name) for name in router.workers}
    assert set(counts) == {"w0", "w1", "w2", "w3"}
    assert max(counts.values()) <= 14


def test_kv_spreads_equal_work_over_equal_workers() -> None:
    """Ties go to the one chosen least recently, so idle workers take turns."""
    router = router_of("kv", 4)
    picked = []
    for number in range(8):
        picked.append(send(router, number, now_s=float(number)).worker)
        router.first_token(number, number + 0.02)
        router.finished(number, number + 0.03, 1)
    assert picked == ["w0", "w1", "w2", "w3"] * 2


@pytest.mark.parametrize("policy", ["kv", "least-loaded", "round-robin"])
@pytest.mark.parametrize("workers", [1, 3, 20])
def test_the_same_history_gives_the_same_choices(policy: PolicyName, workers: int) -> None:
    """Nothing is random."""

    def history() -> list[Choice]:
        router = router_of(policy, workers)
        choices = []
        for number in range(100):
            choices.append(send(router, number, tokens=100 + 37 * (number % 11), now_s=number / 50))
            if number >= 10:
                router.first_token(number - 10, number / 50)
            if number >= 30:
                router.finished(number - 30, number / 50, 50)
        return choices

    assert history() == history()


def test_of_many_a_busy_worker_with_the_second_longest_hit_is_not_overlooked() -> None:
    """The one with the longest hit has too much to do; the next is not first in any order, yet the cheapest."""
    router = router_of("kv", 20)
    start_s = 1000.0
    router.stored("w5", range(2000))
    router.stored("w7", range(1900))
    for number, (worker, tokens) in enumerate((("w5", 60_000), ("w7", 500))):
        router.sent(RouteRequest(id=number, prompt_tokens=tokens), Choice(worker, None, 0, 0.1, 0.1), start_s)
    request = RouteRequest(id=9, prompt_tokens=32_100, block_hashes=range(2000))
    choice = router.choose(request, now_s=start_s + 0.001)
    assert choice is not None
    assert choice.worker == "w7"
    assert choice.cost_s == min(price.total_s for price in router.explain(request, start_s + 0.001).prices)


def cheapest(router: Router, request: RouteRequest, now_s: float) -> Choice:
    """The router's choice, once it is seen to be that of pricing all."""
    choice = router.choose(request, now_s=now_s)
    prices = router.explain(request, now_s).prices
    assert choice is not None
    mine = next(price for price in prices if price.worker == choice.worker)
    usable = [price for price in prices if price.stage is mine.stage and not price.excluded]
    assert mine.total_s == min(price.total_s for price in usable)
    equal = [price.worker for price in usable if price.total_s == mine.total_s]
    assert choice.worker == min(equal, key=lambda name: router._workers[name].turn)
    return choice


@settings(max_examples=60, deadline=None)
@given(
    workers=st.integers(9, 40),
    sends=st.lists(
        st.tuples(st.integers(1, 60_000), st.integers(0, 5), st.integers(0, 40), st.integers(0, 3)),
        min_size=1,
        max_size=50,
    ),
    role=st.sampled_from([Role.WORKER, Role.DECODE]),
)
def test_stopping_early_finds_the_cheapest_of_many(
    workers: int, sends: list[tuple[int, int, int, int]], role: Role
) -> None:
    """With more than a few workers not all are priced; the choice is that of `explain`, which prices all."""
    router = router_of("kv", workers, role)
    if role is Role.DECODE:
        router.add_worker(WorkerInfo(id="p0", role=Role.PREFILL, engine=ENGINE))
    for number, (tokens, conversation, blocks, done) in enumerate(sends):
        now_s = number * 0.01
        hashes = [0, 1, *(conversation * 1000 + block for block in range(blocks))]
        tokens = max(tokens, 16 * len(hashes))
        request = RouteRequest(id=number, prompt_tokens=tokens, block_hashes=hashes, exclude=frozenset({"w3"}))
        choice = cheapest(router, request, now_s)
        router.sent(request, choice, now_s)
        if done >= 1:
            router.first_token(number - 3, now_s)
        if done >= 2:
            router.finished(number - 5, now_s, 20)
        if done == 3:
            router.measured(choice.worker, WorkerLoad(at_s=now_s, running=tokens % 7, waiting=blocks % 3), now_s)
            router.forget(f"w{blocks % workers}")


@pytest.mark.parametrize("seed", range(12))
def test_who_is_lost_is_forgotten_and_may_come_back_under_its_name(seed: int) -> None:
    """Whoever stood in a group of idle ones, or in a queue's place, leaves nothing there; its requests go elsewhere."""
    draw = Random(seed)
    router = router_of("kv", 14)
    on: dict[int, str] = {}

    def send_to_cheapest(number: int, now_s: float, *, exclude: frozenset[str] = frozenset()) -> None:
        hashes = [0, 1, *(draw.randrange(3) * 1000 + block for block in range(draw.randrange(40)))]
        tokens = 16 * len(hashes) + draw.choice([1, 100, 20_000])
        request = RouteRequest(id=number, prompt_tokens=tokens, block_hashes=hashes, exclude=exclude)
        choice = cheapest(router, request, now_s)
        router.sent(request, choice, now_s)
        router.stored(choice.worker, hashes[: draw.randrange(40)])
        on[number] = choice.worker

    for number in range(300):
        now_s, worker = number * 0.01, f"w{draw.randrange(14)}"
        what = draw.choices(["send", "end", "lose", "back"], weights=[6, 5, 1, 1])[0]
        if what == "send":
            send_to_cheapest(number, now_s)
        elif what == "end" and on:
            oldest = min(on)
            router.first_token(oldest, now_s)
            router.finished(oldest, now_s, 20)
            del on[oldest]
        elif what == "lose" and len(router.workers) > 2:
            router.remove_worker(worker)
            for lost in [request for request, holder in on.items() if holder == worker]:
                router.finished(lost, now_s, 0)
                send_to_cheapest(lost, now_s, exclude=frozenset({worker}))
        elif what == "back":
            router.add_worker(WorkerInfo(id=worker, engine=ENGINE))
    assert router.in_flight == len(on)
    loads = {name: router._workers[name].load.in_flight for name in router.workers}
    assert loads == {name: list(on.values()).count(name) for name in router.workers}
