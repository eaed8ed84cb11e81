"""Which signals are trusted, which are missed, and what becomes of the mix without them."""

import pytest

from penstock.autoscale.arrivals import Mix
from penstock.autoscale.demand import Reading, read
from penstock.messages.decision import LimitedBy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.worker import Role

ALL = {
    Signal.DEMAND: 10.0,
    Signal.ISL: 800.0,
    Signal.ISL_P95: 2000.0,
    Signal.OSL: 100.0,
    Signal.OSL_P95: 300.0,
    Signal.HIT_RATIO: 0.4,
    Signal.TTFT: 0.2,
    Signal.ITL: 0.02,
    Signal.QUEUE: 3.0,
    Signal.HELD: 0.0,
    Signal.IN_FLIGHT: 20.0,
    Signal.KV_USAGE: 0.5,
    Signal.LEAD_TIME: 9.0,
}
MIX = Mix(isl=500, isl_p95=1000, osl=50, osl_p95=100, hit_ratio=0.2)


def look(
    signals: dict[Signal, float],
    *,
    role: Role = Role.WORKER,
    mix: Mix | None = MIX,
    known: frozenset[Signal] = frozenset(),
    ready: int = 2,
    ages: dict[Signal, float] | None = None,
) -> Reading:
    samples = {s: Sample(value=v, age_s=(ages or {}).get(s, 1.0)) for s, v in signals.items()}
    seen = PoolSeen(component="w", desired=2, starting=0, ready=ready, draining=0, signals=samples)
    return read(seen, role, mix=mix, known=known, stale_after_s=30)


def without(*signals: Signal) -> dict[Signal, float]:
    return {signal: value for signal, value in ALL.items() if signal not in signals}


def test_with_everything_there_nothing_blocks() -> None:
    reading = look(ALL)
    assert (reading.blocked, reading.rate, reading.backlog, reading.lead_time_s) == (None, 10, 3, 9)
    assert reading.mix == Mix(isl=800, isl_p95=2000, osl=100, osl_p95=300, hit_ratio=0.4)


@pytest.mark.parametrize("signal", [Signal.DEMAND, Signal.ISL, Signal.OSL, Signal.QUEUE])
def test_without_these_nothing_can_be_known(signal: Signal) -> None:
    reading = look(without(signal))
    assert (reading.blocked, reading.blockers) == (LimitedBy.MISSING_DATA, (signal,))


@pytest.mark.parametrize("signal", [Signal.HELD, Signal.KV_USAGE, Signal.HIT_RATIO, Signal.TTFT, Signal.ISL_P95])
def test_a_signal_that_was_never_given_is_not_waited_for_but_a_lost_one_is(signal: Signal) -> None:
    assert look(without(signal)).blocked is None
    assert look(without(signal), known=frozenset(ALL)).blockers == (signal,)


def test_a_stale_signal_is_told_from_a_missing_one() -> None:
    stale = look(ALL, ages={Signal.QUEUE: 31})
    assert (stale.blocked, stale.queue) == (LimitedBy.STALE_DATA, None)
    assert look(without(Signal.DEMAND), ages={Signal.QUEUE: 31}).blocked is LimitedBy.MISSING_DATA


def test_without_requests_neither_lengths_nor_latencies_are_due() -> None:
    quiet = without(Signal.ISL, Signal.OSL, Signal.TTFT, Signal.ITL, Signal.HIT_RATIO, Signal.ISL_P95, Signal.OSL_P95)
    assert look(quiet | {Signal.DEMAND: 0.0}, known=frozenset(ALL)).blocked is None
    assert look(quiet | {Signal.DEMAND: 0.1}, known=frozenset(ALL)).blocked is None  # too few to expect any
    assert look(quiet, known=frozenset(ALL)).blocked is LimitedBy.MISSING_DATA


def test_without_ready_replicas_their_queue_and_latencies_are_not_due() -> None:
    asleep = without(Signal.QUEUE, Signal.KV_USAGE, Signal.TTFT, Signal.ITL)
    assert look(asleep, known=frozenset(ALL), ready=0).blocked is None


def test_a_pool_misses_only_what_its_role_reads() -> None:
    assert look(without(Signal.ITL), role=Role.PREFILL, known=frozenset(ALL)).blocked is None
    assert look(without(Signal.TTFT), role=Role.DECODE, known=frozenset(ALL)).blocked is None
    assert look(without(Signal.ITL), role=Role.DECODE, known=frozenset(ALL)).blocked is LimitedBy.MISSING_DATA


def test_a_lost_length_keeps_its_last_value_and_its_width() -> None:
    lost = look(without(Signal.ISL, Signal.ISL_P95, Signal.HIT_RATIO))
    assert lost.mix == Mix(isl=500, isl_p95=1000, osl=100, osl_p95=300, hit_ratio=0.2)
    half = look(without(Signal.ISL_P95))
    assert half.mix is not None
    assert half.mix.isl_p95 == 1600  # as wide as before


def test_a_mix_is_unknown_until_a_length_was_seen() -> None:
    assert look({Signal.DEMAND: 5.0}, mix=None).mix is None
    first = look({Signal.DEMAND: 5.0, Signal.ISL: 100.0}, mix=None).mix
    assert first is not None
    assert (first.isl, first.isl_p95) == (100, 300)


def test_only_certainty_is_silence() -> None:
    assert look({Signal.DEMAND: 0.0, Signal.QUEUE: 0.0}).silent
    assert not look({Signal.QUEUE: 0.0}).silent
    assert not look({Signal.DEMAND: 0.0, Signal.HELD: 1.0}).silent
    assert not look({Signal.DEMAND: 0.0, Signal.IN_FLIGHT: 1.0}).silent


def test_an_old_lead_time_is_the_best_there_is() -> None:
    assert look(ALL, ages={Signal.LEAD_TIME: 9000}).lead_time_s == 9
