"""The router as a whole: choices, retries, lost workers, prefill and decode apart, bounds."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.errors import InputError
from penstock.messages.engine_spec import EngineSpec, KvTransferSpec
from penstock.messages.worker import Role, WorkerRecord
from penstock.router import flights
from penstock.router.flights import CONFIRM_WITHIN_S
from penstock.router.route_request import Choice, RouteRequest
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo, WorkerLoad

ENGINE = EngineSpec(kv_blocks=4096)
BLOCKS = list(range(1, 65))  # 64 blocks of 16 tokens


def router_of(*workers: str, kv_events: bool = True, **more: float) -> Router:
    """Workers by name: p… prefill, d… decode, others both."""
    roles = {"p": Role.PREFILL, "d": Role.DECODE}
    router = Router("kv", 0.5, 0.05, block_tokens=16, **more)  # type: ignore[arg-type]
    for worker in workers:
        role = roles.get(worker[0], Role.WORKER)
        router.add_worker(WorkerInfo(id=worker, role=role, engine=ENGINE, kv_events=kv_events))
    return router


def ask(number: int = 0, *, tokens: int = 1100, hashes: list[int] | None = None, exclude: str = "") -> RouteRequest:
    return RouteRequest(id=number, prompt_tokens=tokens, block_hashes=hashes or [], exclude=frozenset(exclude.split()))


def send(router: Router, request: RouteRequest, now_s: float = 0.0) -> Choice:
    choice = router.choose(request, now_s=now_s)
    assert choice is not None
    router.sent(request, choice, now_s)
    return choice


def test_without_workers_there_is_no_choice() -> None:
    """The gateway then holds the request."""
    assert router_of().choose(ask(), now_s=0.0) is None


def test_with_all_workers_excluded_there_is_no_choice() -> None:
    """Each has just failed this request."""
    assert router_of("a", "b").choose(ask(exclude="a b"), now_s=0.0) is None
    assert router_of("p", "d").choose(ask(exclude="d"), now_s=0.0) is None


def test_a_failed_worker_is_not_chosen_again_whatever_it_holds() -> None:
    """The retry excludes it."""
    router = router_of("a", "b")
    router.stored("a", BLOCKS)
    assert send(router, ask(hashes=BLOCKS)).worker == "a"
    router.finished(0, 0.1, 0)
    assert send(router, ask(hashes=BLOCKS, exclude="a"), 0.1).worker == "b"


def test_choosing_changes_nothing() -> None:
    """Twice the same question, twice the same answer; nothing is in flight."""
    router = router_of("a", "b", "c")
    router.stored("b", BLOCKS[:10])
    request = ask(hashes=BLOCKS)
    assert router.choose(request, now_s=1.0) == router.choose(request, now_s=1.0)
    router.explain(request, 1.0)
    assert router.in_flight == 0
    assert router.choose(ask(1), now_s=1.0) == router.choose(ask(2), now_s=1.0)


def test_a_prompt_on_its_way_counts_as_cached_before_its_event_comes() -> None:
    """The worker takes prompts in order: the one ahead is computed, and cached, before this one's turn."""
    router = router_of("a", "b")
    first = send(router, ask(0, hashes=BLOCKS))
    second = router.choose(ask(1, tokens=4000, hashes=BLOCKS), now_s=0.01)
    assert second is not None
    assert second.worker == first.worker
    assert second.hit_tokens == 64 * 16


def test_the_expected_cache_of_a_failed_prompt_is_withdrawn() -> None:
    """It was never computed."""
    router = router_of("a", "b")
    send(router, ask(0, hashes=BLOCKS))
    router.finished(0, 0.5, 0)
    choice = router.choose(ask(1, hashes=BLOCKS), now_s=0.5)
    assert choice is not None
    assert choice.hit_tokens == 0


@pytest.mark.parametrize(
    ("kv_events", "event", "hit_tokens"),
    [
        (True, False, 0),  # it should have been published, and was not: perhaps the engine caches nothing
        (True, True, 63 * 16),
        (False, False, 63 * 16),  # nothing is ever published: what was sent is all that is known
    ],
)
def test_what_is_expected_must_be_confirmed_where_events_come(kv_events: bool, event: bool, hit_tokens: int) -> None:
    """Within some seconds of the first token."""
    router = router_of("a", kv_events=kv_events)
    send(router, ask(0, hashes=BLOCKS))
    router.first_token(0, 0.1)
    if event:
        router.stored("a", BLOCKS)
    router.finished(0, 1.0, 20)
    send(router, ask(1), 0.1 + CONFIRM_WITHIN_S + 2)
    choice = router.choose(ask(2, tokens=1024, hashes=BLOCKS), now_s=10.0)
    assert choice is not None
    assert choice.hit_tokens == hit_tokens  # never the last block of a prompt that ends with it


def test_a_gap_in_events_forgets_and_later_events_rebuild() -> None:
    """Forget is about the cache only: load stays."""
    router = router_of("a", "b")
    router.stored("a", BLOCKS)
    send(router, ask(0))
    router.forget("a")
    assert router.explain(ask(1, hashes=BLOCKS), 0.0).prices[0].hit_tokens == 0
    router.stored("a", BLOCKS[:8])
    prices = router.explain(ask(1, hashes=BLOCKS), 0.0).prices
    assert {price.worker: price.hit_tokens for price in prices} == {"a": 128, "b": 0}
    router.cleared("a")
    assert router.explain(ask(1, hashes=BLOCKS), 0.0).prices[0].hit_tokens == 0
    assert router.in_flight == 1


def test_a_worker_with_much_to_do_is_avoided_and_sought_again_when_done() -> None:
    """Prompts wait for one another; one that is done leaves no trace."""
    router = router_of("a", "b")
    assert send(router, ask(0, tokens=30_000)).worker == "a"
    assert [send(router, ask(n, tokens=500)).worker for n in (1, 2, 3)] == ["b"] * 3
    router.first_token(0, 0.7)
    router.finished(0, 0.8, 5)
    assert send(router, ask(4, tokens=500), 0.8).worker == "a"


def test_reports_about_unknown_requests_and_workers_are_harmless() -> None:
    """They race with removals and restarts."""
    router = router_of("a")
    router.first_token(99, 1.0)
    router.finished(99, 1.0, 5)
    router.stored("x", [1])
    router.removed("x", [1])
    router.cleared("x")
    router.forget("x")
    router.measured("x", WorkerLoad(at_s=0.0, running=1, waiting=1, kv_usage=0.5), 1.0)
    router.remove_worker("x")
    router.sent(ask(1), Choice("x", None, 0, 0.1, 0.1), 1.0)
    assert router.workers == ("a",)
    assert router.in_flight == 0


def test_reports_of_requests_whose_worker_has_gone_are_harmless() -> None:
    """A worker is killed under load, and another comes under the same name."""
    router = router_of("a", "b")
    router.stored("a", BLOCKS)
    send(router, ask(0, hashes=BLOCKS))
    router.remove_worker("a")
    router.add_worker(WorkerInfo(id="a", engine=ENGINE))
    router.first_token(0, 0.5)
    router.finished(0, 0.6, 30)
    prices = {price.worker: price for price in router.explain(ask(1, hashes=BLOCKS), 0.6).prices}
    assert prices["a"].in_flight == prices["b"].in_flight == 0
    assert prices["a"].hit_tokens == 0
    assert router.in_flight == 0


def test_in_a_large_pool_the_requests_of_a_worker_that_has_gone_are_not_its_successors() -> None:
    """Another worker under the same name: the end of what the first had must not touch the pool."""
    router = router_of(*(f"w{number}" for number in range(12)))
    gone = send(router, ask(0)).worker
    router.choose(ask(1), now_s=0.0)
    router.remove_worker(gone)
    router.add_worker(WorkerInfo(id=gone, engine=ENGINE))
    router.choose(ask(1), now_s=0.0)
    router.first_token(0, 0.5)
    router.choose(ask(1), now_s=0.5)
    router.finished(0, 1.0, 30)
    assert {send(router, ask(number), 1.0).worker for number in range(2, 14)} == set(router.workers)


def test_a_request_sent_again_counts_once() -> None:
    """A retry without a `finished` in between replaces what was."""
    router = router_of("a", "b")
    send(router, ask(0))
    assert send(router, ask(0, exclude="a")).worker == "b"
    loads = {price.worker: price.in_flight for price in router.explain(ask(1), 0.0).prices}
    assert loads == {"a": 0, "b": 1}


def test_requests_whose_end_is_never_told_are_dropped_in_time() -> None:
    """A leak must not make a worker look busy for ever."""
    router = router_of("a", flight_expires_s=60.0)
    for number in range(20):
        send(router, ask(number), number * 1.0)
    send(router, ask(100), 70.5)
    assert router.in_flight == 10
    send(router, ask(101), 500.0)
    assert router.in_flight == 1
    assert router.explain(ask(102), 500.0).prices[0].in_flight == 1


def test_no_more_requests_are_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr(flights, "MAX_FLIGHTS", 10)
    router = router_of("a")
    for number in range(25):
        send(router, ask(number))
    assert router.in_flight == 10
    assert router.explain(ask(99), 0.0).prices[0].in_flight == 10


def test_an_answer_that_does_not_stream_waits_for_its_prompt_only_as_long_as_predicted() -> None:
    """Its first token is never seen; it must not look like a prompt in the queue until it ends."""
    router = router_of("a")
    whole = RouteRequest(id=0, prompt_tokens=20_000, streams=False, block_hashes=BLOCKS)
    choice = send(router, whole)

    def queue_s(now_s: float) -> float:
        send(router, ask(1, tokens=1), now_s)
        router.finished(1, now_s, 0)
        return router.explain(ask(2), now_s).prices[0].queue_s

    assert queue_s(0.0) > 0.2
    assert queue_s(choice.predicted_ttft_s / 2) > 0.1
    assert queue_s(choice.predicted_ttft_s) < 0.002
    router.first_token(0, 30.0)  # when the whole answer came: 30 s are no TTFT
    router.finished(0, 30.0, 500)
    assert router.explain(ask(2), 30.0).prices[0].factor == 1
    assert router.in_flight == 0


def test_a_retry_is_not_mistaken_for_the_try_whose_first_token_was_due() -> None:
    """Only the try that is under way is presumed to have been computed."""
    router = router_of("a", "b")
    whole = RouteRequest(id=0, prompt_tokens=1000, streams=False)
    send(router, whole)
    router.finished(0, 0.001, 0)
    again = RouteRequest(id=0, prompt_tokens=50_000, streams=False, exclude=frozenset({"a"}))
    assert send(router, again, 0.002).worker == "b"
    send(router, ask(1, tokens=1), 0.5)
    prices = {price.worker: price for price in router.explain(ask(2), 0.5).prices}
    assert prices["b"].queue_s > 0.3


def test_a_worker_that_turns_out_slow_gets_less() -> None:
    """Predicted and observed TTFT are compared; both workers claim the same step time."""
    router = router_of("a", "b")
    counts = {"a": 0, "b": 0}
    for number in range(200):
        now_s = number * 0.05
        choice = send(router, ask(number, tokens=2000), now_s)
        counts[choice.worker] += 1
        ttft_s = (0.5 if choice.worker == "a" else 0.05) + choice.predicted_ttft_s
        router.first_token(number, now_s + ttft_s)
        router.finished(number, now_s + ttft_s + 0.001, 1)
    assert counts["b"] > 2 * counts["a"] > 0


def test_a_worker_that_was_slow_gets_another_chance() -> None:
    """Without news its correction fades within minutes."""
    router = router_of("a")
    for number in range(30):
        send(router, ask(number), number * 1.0)
        router.first_token(number, number + 0.9)
        router.finished(number, number + 0.9, 1)
    assert router.explain(ask(99), 30.0).prices[0].factor > 2
    for second in range(30, 400):
        send(router, ask(1000 + second), float(second))
        router.finished(1000 + second, float(second), 0)
    assert router.explain(ask(99), 400.0).prices[0].factor == 1


def test_stalls_by_other_prompts_are_not_taken_for_slow_steps() -> None:
    """A long answer beside many prompts: its gaps are longer, its steps are not."""
    router = router_of("a")
    number = 0
    for lap in range(20):
        now_s = start_s = lap * 12.0
        send(router, ask(-lap - 1, tokens=10), start_s)
        router.first_token(-lap - 1, start_s)
        for _ in range(49):
            number += 1
            choice = send(router, ask(number, tokens=8000), now_s)
            now_s += choice.predicted_ttft_s
            router.first_token(number, now_s)
            router.finished(number, now_s, 1)
        router.finished(-lap - 1, now_s + 400 * 0.00202, 401)
    step_s = router.explain(ask(number + 1, tokens=1), 300.0).prices[0].prefill_s  # one token: one step
    assert step_s == pytest.approx(0.002, rel=0.25)


def test_what_was_measured_long_ago_no_longer_counts() -> None:
    """A worker whose metrics are gone is known by what it was sent."""
    router = router_of("a")
    router.measured("a", WorkerLoad(at_s=0.0, running=50, waiting=0), 0.0)
    send(router, ask(0), 10.0)
    assert router.explain(ask(1), 10.0).prices[0].in_flight == 51
    send(router, ask(1), 60.0)
    assert router.explain(ask(2), 60.0).prices[0].in_flight == 2


def test_what_is_expected_does_not_push_out_what_is_confirmed() -> None:
    """A worker full of blocks, all known, is sent prompts for as many more: its removals come later."""
    router = Router("kv", 0.5, 0.05, block_tokens=16)
    router.add_worker(WorkerInfo(id="a", engine=EngineSpec(kv_blocks=64)))
    router.stored("a", BLOCKS)
    send(router, ask(0, hashes=list(range(100, 160))))
    assert router.explain(ask(1, hashes=BLOCKS), 0.0).prices[0].hit_tokens == 64 * 16


def test_the_step_time_of_an_unknown_engine_is_learned() -> None:
    """Nobody described it; it decodes and computes prompts ten times slower than the default."""
    router = Router("kv", 0.5, 0.05)
    router.add_worker(WorkerInfo(id="a"))
    for number in range(60):
        now_s = number * 10.0
        send(router, ask(number, tokens=8000), now_s)
        router.first_token(number, now_s + 1.2)
        router.finished(number, now_s + 1.2 + 99 * 0.022, 100)
    choice = router.choose(ask(99, tokens=8000), now_s=600.0)
    assert choice is not None
    assert choice.predicted_ttft_s == pytest.approx(1.2, rel=0.25)


def test_an_unknown_policy_a_frontend_and_senseless_targets_are_refused() -> None:
    """With what would be right."""
    with pytest.raises(InputError, match="round-robin"):
        Router("random")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="slo_itl_s"):
        Router("kv", 0.5, 0.0)
    with pytest.raises(InputError, match="prefill or decode"):
        Router().add_worker(WorkerInfo(id="f", role=Role.FRONTEND))


def test_a_discovered_worker_is_known_by_what_counts() -> None:
    """Without an endpoint for events there are none."""
    record = WorkerRecord(id="a", url="http://127.0.0.1:1", component="c", role=Role.DECODE, engine=ENGINE)
    assert WorkerInfo.from_record(record) == WorkerInfo(id="a", role=Role.DECODE, engine=ENGINE, kv_events=False)


# --- prefill and decode workers


def test_prefill_and_decode_are_chosen_each_for_its_own_reasons() -> None:
    """The prefill worker by its prefix, the decode worker by its load."""
    router = router_of("p0", "p1", "d0", "d1")
    router.stored("p1", BLOCKS)
    for number in range(4):
        router.sent(ask(100 + number), Choice("d0", "p0", 0, 0.1, 0.1), 0.0)
        router.first_token(100 + number, 0.1)
    choice = send(router, ask(0, hashes=BLOCKS), 0.2)
    assert (choice.prefill_worker, choice.worker) == ("p1", "d1")
    assert choice.hit_tokens == 64 * 16


def test_the_transfer_prefers_a_decode_worker_that_holds_the_prefix() -> None:
    """What it holds need not be sent."""
    slow = EngineSpec(kv_blocks=4096, kv_transfer=KvTransferSpec(latency_s=0.01, tokens_per_second=10_000))
    router = router_of("p0")
    for name in ("d0", "d1"):
        router.add_worker(WorkerInfo(id=name, role=Role.DECODE, engine=slow))
    router.stored("d1", BLOCKS)
    choice = send(router, ask(0, hashes=BLOCKS))
    assert choice.worker == "d1"
    prices = {price.worker: price for price in router.explain(ask(1, hashes=BLOCKS), 5.0).prices}
    assert prices["d0"].transfer_s == pytest.approx(0.01 + 0.11)
    assert prices["d1"].transfer_s == pytest.approx(0.01 + 0.0076)
    assert prices["p0"].transfer_s == 0


def test_a_conversation_stays_with_its_decode_worker_before_events_come() -> None:
    """The KV that is on its way there need not be sent again."""
    router = router_of("p0", "d0", "d1")
    choice = send(router, ask(0, hashes=BLOCKS))
    prices = {price.worker: price for price in router.explain(ask(1, hashes=BLOCKS), 0.1).prices}
    other = "d1" if choice.worker == "d0" else "d0"
    assert prices[choice.worker].hit_tokens == 64 * 16
    assert prices[other].hit_tokens == 0


def test_the_predicted_ttft_of_a_pair_covers_prefill_transfer_and_decode() -> None:
    """It is what the client waits for."""
    router = router_of("p0", "d0")
    request = ask(0, tokens=8000)
    choice = router.choose(request, now_s=0.0)
    prices = {price.worker: price for price in router.explain(request, 0.0).prices}
    assert choice is not None
    parts = [getattr(price, part) for price in prices.values() for part in ("queue_s", "prefill_s", "transfer_s")]
    assert choice.predicted_ttft_s == pytest.approx(sum(parts))
    assert choice.cost_s == pytest.approx(prices["p0"].total_s + prices["d0"].total_s)


def test_the_first_token_frees_the_prefill_worker_and_the_end_the_decode_worker() -> None:
    """Each stage is charged while it lasts."""
    router = router_of("p0", "d0")

    def loads() -> dict[str, float]:
        return {price.worker: price.in_flight for price in router.explain(ask(9), 1.0).prices}

    send(router, ask(0))
    assert loads() == {"p0": 1, "d0": 1}
    router.first_token(0, 0.5)
    assert loads() == {"p0": 0, "d0": 1}
    router.finished(0, 1.0, 10)
    assert loads() == {"p0": 0, "d0": 0}


def test_without_a_usable_prefill_worker_a_decode_worker_does_both() -> None:
    """As engines do when the transfer fails."""
    router = router_of("p0", "d0", "d1")
    choice = send(router, ask(0, tokens=8000, exclude="p0"))
    assert choice.prefill_worker is None
    assert choice.worker == "d0"
    assert send(router, ask(1, tokens=8000, exclude="p0")).worker == "d1"
    stages = {price.worker: price.stage for price in router.explain(ask(2, exclude="p0"), 0.0).prices}
    assert stages["d0"] is Role.WORKER


def test_without_a_decode_worker_there_is_no_choice() -> None:
    """A prefill worker answers nobody."""
    assert router_of("p0", "p1").choose(ask(), now_s=0.0) is None


def test_beside_whole_workers_the_cheaper_way_wins() -> None:
    """First the idle whole worker, which needs no transfer; the pair when that is busy."""
    router = router_of("w", "p0", "d0")
    assert send(router, ask(0, tokens=20_000)).worker == "w"
    choice = send(router, ask(1, tokens=2000))
    assert (choice.worker, choice.prefill_worker) == ("d0", "p0")


class Lives(RuleBasedStateMachine):
    """Workers come and go while requests are under way, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.router = router_of()
        self.now_s = 0.0
        self.next = 0

    @rule(name=st.sampled_from(["a", "b", "p0", "p1", "d0", "d1"]))
    def add(self, name: str) -> None:
        role = {"p": Role.PREFILL, "d": Role.DECODE}.get(name[0], Role.WORKER)
        self.router.add_worker(WorkerInfo(id=name, role=role, engine=None if name == "b" else ENGINE))

    @rule(name=st.sampled_from(["a", "b", "p0", "p1", "d0", "d1"]))
    def remove(self, name: str) -> None:
        self.router.remove_worker(name)

    @rule(tokens=st.integers(1, 5000), blocks=st.integers(0, 20), exclude=st.sampled_from(["", "a", "p0 p1", "d0"]))
    def send(self, tokens: int, blocks: int, exclude: str) -> None:
        request = ask(self.next, tokens=tokens, hashes=BLOCKS[:blocks], exclude=exclude)
        self.next += 1
        choice = self.router.choose(request, now_s=self.now_s)
        explained = self.router.explain(request, self.now_s)
        assert explained.choice == choice
        if choice is None:
            usable = [w for w in self.router.workers if w not in request.exclude and not w.startswith("p")]
            assert not usable
            return
        assert choice.worker not in request.exclude
        assert choice.worker in self.router.workers
        assert choice.predicted_ttft_s > 0
        assert 0 <= choice.hit_tokens < tokens
        chosen = {price.worker for price in explained.prices if price.chosen}
        assert chosen == {choice.worker, choice.prefill_worker} - {None}
        self.router.sent(request, choice, self.now_s)

    @rule(back=st.integers(1, 6), output=st.integers(0, 50))
    def finish(self, back: int, output: int) -> None:
        self.router.finished(self.next - back, self.now_s, output)

    @rule(back=st.integers(1, 6))
    def first_token(self, back: int) -> None:
        self.router.first_token(self.next - back, self.now_s)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(name=st.sampled_from(["a", "p0", "d0"]), blocks=st.integers(0, 20))
    def events(self, name: str, blocks: int) -> None:
        self.router.stored(name, BLOCKS[:blocks])
        self.router.removed(name, BLOCKS[blocks // 2 : blocks])

    @rule()
    def all_finish(self) -> None:
        for number in range(self.next):
            self.router.finished(number, self.now_s, 1)
        assert self.router.in_flight == 0
        prices = self.router.explain(ask(self.next), self.now_s).prices
        assert all(price.in_flight == 0 for price in prices)

    @invariant()
    def prices_are_sums(self) -> None:
        for price in self.router.explain(ask(10**9, hashes=BLOCKS[:5]), self.now_s).prices:
            parts = price.queue_s + price.prefill_s + price.transfer_s + price.harm_s
            assert price.total_s == pytest.approx(parts)
            assert min(price.queue_s, price.prefill_s, price.transfer_s, price.harm_s) >= -1e-12


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
