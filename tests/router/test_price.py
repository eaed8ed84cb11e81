"""The cost formula: parts that can be worked out by hand, and what moves the price which way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.hardware.steptime import StepTime
from penstock.messages.engine_spec import EngineSpec, KvTransferSpec, StepTimeSpec
from penstock.messages.worker import Role
from penstock.router.candidate import Candidate, Weights
from penstock.router.expected_load import Task
from penstock.router.price import Ask, decode_price, whole_price
from penstock.router.route_request import RouteRequest
from penstock.router.worker_info import WorkerInfo, WorkerLoad

# Round numbers: 10 ms a step, 0.1 ms a prompt token, 1 ms a sequence; attention and context free.
ROUND = StepTimeSpec(base_s=0.01, prefill_token_s=1e-4, prefill_attention_s=0.0, sequence_s=1e-3, context_token_s=0.0)
ENGINE = EngineSpec(
    step_time=ROUND,
    max_num_batched_tokens=10_000,
    max_num_seqs=4,
    block_tokens=10,
    kv_blocks=1000,
    kv_transfer=KvTransferSpec(latency_s=0.005, tokens_per_second=100_000),
)
WEIGHTS = Weights(slo_ttft_s=0.5, slo_itl_s=0.05, mean_output_tokens=100.0)


def worker(
    *, waiting: tuple[int, ...] = (), running: int = 0, engine: EngineSpec | None = ENGINE, role: Role = Role.WORKER
) -> Candidate:
    """A worker with prompts of these lengths waiting, and so many running requests of 100 tokens of KV."""
    made = Candidate(WorkerInfo(id="w", engine=engine, role=role), turn=0)
    for number, tokens in enumerate(waiting):
        made.load.sent(Task(number, 0.0, tokens, tokens * 1e-4, 100.0), True, 0.0)
    for number in range(running):
        made.load.sent(Task(1000 + number, 0.0, 0, 0.0, 100.0), False, 0.0)
    made.refresh(WEIGHTS)
    return made


def ask(tokens: int = 1000, *, now_s: float = 0.0, congestion_per_s: float = 0.0, output: int = 100) -> Ask:
    return Ask(
        RouteRequest(id=1, prompt_tokens=tokens, expected_output_tokens=output),
        levels=[],
        congestion_per_s=congestion_per_s,
        mean_output_tokens=WEIGHTS.mean_output_tokens,
        now_s=now_s,
    )


def test_an_idle_worker_costs_its_prefill_and_one_step() -> None:
    """1000 tokens at 0.1 ms, a tenth of a step's base shared by tokens, and the step that gives the first token."""
    total_s, queue_s, prefill_s, transfer_s, harm_s = whole_price(worker(), ask(), 0)
    assert queue_s == transfer_s == 0
    assert prefill_s == pytest.approx(0.1 + 0.001 + 0.01)
    assert harm_s == pytest.approx(0.5 * 0.5 * (0.01 / 0.05) ** 2)
    assert total_s == pytest.approx(queue_s + prefill_s + harm_s)


@given(st.integers(1, 8000), st.integers(0, 30_000))
def test_prefill_agrees_with_the_step_time_model(new: int, cached: int) -> None:
    """The price is a mean-field form of `hardware`'s: equal, but for the share of a step."""
    spec = EngineSpec(kv_blocks=10_000)
    candidate = worker(engine=spec)
    prefill_s = whole_price(candidate, ask(new + cached), cached)[2]
    exact_s = StepTime.from_spec(spec.step_time).prefill_s(new, cached)
    assert exact_s <= prefill_s + 1e-5 <= exact_s + spec.step_time.base_s + 2e-5


@pytest.mark.parametrize(
    ("waiting", "now_s", "queue_s"),
    [
        ((2000,), 0.0, 0.2 + 0.002 + 0.005),  # its work, its share of a step, half a running step
        ((2000, 3000), 0.0, 0.5 + 0.005 + 0.005),
        ((2000, 3000), 0.1, 0.4 + 0.005 + 0.005),  # computed for 0.1 s
        ((2000, 3000), 99.0, 0.005),  # at most one batch ahead of what was heard: both prompts fit one
        ((20_000, 3000), 99.0, 0.3 + 0.003 + 0.005),  # the first is longer than a batch; the second not begun
    ],
)
def test_the_queue_is_the_prompts_ahead_less_what_was_computed(
    waiting: tuple[int, ...], now_s: float, queue_s: float
) -> None:
    """Progress is believed up to the head of the queue or one full batch."""
    assert whole_price(worker(waiting=waiting), ask(now_s=now_s), 0)[1] == pytest.approx(queue_s)


def test_a_prefix_hit_saves_its_prefill() -> None:
    """900 of 1000 tokens cached: a tenth of the work."""
    without, with_hit = (whole_price(worker(), ask(), hit)[2] for hit in (0, 900))
    assert without - with_hit == pytest.approx(900 * (1e-4 + 1e-6))


def test_harm_to_those_decoding_counts_when_itl_is_near_its_target() -> None:
    """The same three sequences: harmless at 13 ms a step, not at 48 ms."""
    near = ENGINE.model_copy(update={"step_time": ROUND.model_copy(update={"base_s": 0.045})})
    far_s = whole_price(worker(running=3), ask(), 0)[4] - whole_price(worker(), ask(), 0)[4]
    near_s = whole_price(worker(running=3, engine=near), ask(), 0)[4] - whole_price(worker(engine=near), ask(), 0)[4]
    assert near_s > 2 * far_s > 0


def test_harm_to_decoding_by_hand() -> None:
    """Two running: a step of 12 ms, a quarter of the target."""
    step_s, pressure = 0.012, 0.012 / 0.05
    weight = 2 * pressure * (0.5 / 0.05)
    prefill_s = 1000 * (1e-4 + step_s / 10_000) + step_s
    own = 0.5 * 0.5 * pressure**2
    shared = weight * (100 / 300) * 1e-3
    stall = prefill_s * weight / 100
    assert whole_price(worker(running=2), ask(), 0)[4] == pytest.approx(own + shared + stall)


def test_congestion_charges_for_those_still_to_come() -> None:
    """congestion x S x (u + S/2)."""
    busy = worker(waiting=(2000,))
    _, queue_s, prefill_s, _, harm_s = whole_price(busy, ask(congestion_per_s=3.0), 0)
    calm_s = whole_price(busy, ask(), 0)[4]
    assert harm_s - calm_s == pytest.approx(3.0 * prefill_s * (queue_s + prefill_s / 2))


def test_a_worker_without_free_seats_makes_wait_until_one_leaves() -> None:
    """Four seats, all taken by requests half done on average: one leaves every 100 / 4 steps."""
    step_s = 0.014
    assert whole_price(worker(running=3), ask(), 0)[1] == pytest.approx(0.013 / 2)
    assert whole_price(worker(running=4), ask(), 0)[1] == pytest.approx(step_s / 2 + 100 / 4 * step_s)


def test_a_worker_without_free_kv_makes_wait_too() -> None:
    """10,000 tokens fit; 9800 are asked for beside 300 in use: 100 too many, one leaver frees as much."""
    roomy = whole_price(worker(running=3), ask(9500), 0)[1]
    short = whole_price(worker(running=3), ask(9700), 0)[1]
    assert roomy == pytest.approx(0.013 / 2)
    assert short == pytest.approx(0.013 / 2 + 100 / 3 * 0.013)


def test_a_prefill_worker_is_not_charged_for_decoding() -> None:
    """It has no sequences to harm."""
    assert whole_price(worker(role=Role.PREFILL), ask(), 0)[4] == 0


def test_the_transfer_leaves_out_what_the_decode_worker_holds() -> None:
    """1000 tokens at 100,000 a second, and 5 ms; then half of it."""
    decoding = worker(role=Role.DECODE)
    assert decode_price(decoding, ask(), 0)[3] == pytest.approx(0.005 + 0.01)
    assert decode_price(decoding, ask(), 500)[3] == pytest.approx(0.005 + 0.005)
    assert decode_price(decoding, ask(), 0)[2] == 0


def test_a_worker_found_slower_costs_more() -> None:
    """Both corrections scale what they are about."""
    slow = worker(waiting=(2000,), running=1)
    before = whole_price(slow, ask(), 0)
    for _ in range(50):
        slow.prefill.observe(1.0, 2.0, factor=1.0, now_s=0.0)
    slow.refresh(WEIGHTS)
    after = whole_price(slow, ask(), 0)
    assert after[1] == pytest.approx(2 * before[1], rel=0.05)
    assert after[2] == pytest.approx(2 * before[2], rel=0.15)


def test_what_others_send_there_costs_too() -> None:
    """A scrape shows five more waiting: five more prompts like ours are ahead."""
    shared = worker(waiting=(2000,))
    before = whole_price(shared, ask(100), 0)[1]
    shared.load.measured(
        WorkerLoad(at_s=1.0, running=0, waiting=6, kv_usage=None), kv_capacity_tokens=10_000, now_s=1.0
    )
    shared.seats = 100
    shared.refresh(WEIGHTS)
    assert whole_price(shared, ask(100), 0)[1] > 5 * before


def test_the_capacity_of_an_unknown_engine_is_learned_from_how_full_it_says_it_is() -> None:
    """300 tokens of ours make it 30 % full: 1000 fit."""
    unknown = worker(running=3, engine=None)
    assert unknown.kv_free_tokens == float("inf")
    unknown.learn_capacity(WorkerLoad(at_s=1.0, kv_usage=0.3))
    assert unknown.kv_capacity_tokens == pytest.approx(1000)
    unknown.learn_capacity(WorkerLoad(at_s=1.0, kv_usage=0.6))
    assert unknown.kv_capacity_tokens == pytest.approx(900)
    unknown.learn_capacity(WorkerLoad(at_s=1.0, kv_usage=float("nan")))
    assert unknown.kv_capacity_tokens == pytest.approx(900)


@given(
    waiting=st.lists(st.integers(1, 50_000), max_size=8),
    running=st.integers(0, 300),
    tokens=st.integers(1, 100_000),
    now_s=st.floats(0, 1000),
    congestion=st.floats(0, 100),
    role=st.sampled_from([Role.WORKER, Role.PREFILL, Role.DECODE]),
)
def test_parts_are_never_negative_and_the_bounds_hold(
    waiting: list[int], running: int, tokens: int, now_s: float, congestion: float, role: Role
) -> None:
    """A policy stops early by these bounds, so they must never be above a price."""
    candidate = worker(waiting=tuple(waiting), running=running, role=role)
    asked = ask(tokens, now_s=now_s, congestion_per_s=congestion)
    for price_of in (whole_price, decode_price):
        total_s, *parts = price_of(candidate, asked, 0)
        assert total_s == pytest.approx(sum(parts))
        assert min(parts) >= -1e-12
        assert candidate.floor_s <= total_s + 1e-9
        assert candidate.drained_at_s - now_s <= total_s + 1e-9
