"""Drawn requests have the rate, the burstiness, the lengths and the sharing that were asked for. Seeds are fixed."""

import random
from collections import Counter
from itertools import pairwise
from statistics import fmean as mean
from statistics import stdev
from typing import Any

import pytest

from penstock.workload.arrival import Arrival
from penstock.workload.compose import compose
from penstock.workload.lengths import MOST_PAIRS, empirical_lengths, lognormal_lengths
from penstock.workload.pace import instants
from penstock.workload.rate import rates
from penstock.workload.stats import PrefixReuse, workload_stats
from penstock.workload.workload_spec import LengthSpec, RateSpec, WorkloadBody

SEED = 20_251_124
LENGTHS = {"input": {"mean": 200, "cv": 0.5}, "output": {"mean": 50, "cv": 0.5}}


def made(seed: int = SEED, **generate: Any) -> list[Arrival]:
    spec = WorkloadBody.model_validate({"generate": {**LENGTHS, **generate}})
    return list(compose(spec, seed=seed, open_trace=lambda trace: iter(())))


def times_of(duration_s: float, **rate: Any) -> list[float]:
    return list(instants(RateSpec.model_validate(rate), duration_s, random.Random(SEED)))


def rates_of(duration_s: float, **rate: Any) -> list[float]:
    return [each for _, each in rates(RateSpec.model_validate(rate), duration_s, random.Random(SEED))]


def count(times: list[float], start_s: float, end_s: float) -> int:
    return sum(start_s <= at_s < end_s for at_s in times)


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_a_constant_pace_has_its_rate_and_its_burstiness(cv: float) -> None:
    """10,000 gaps: the mean within 5 %, their variation within 10 %."""
    times = times_of(1000, requests_per_second=10, gaps_cv=cv)
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert mean(gaps) == pytest.approx(0.1, rel=0.05 * max(cv, 1))
    assert stdev(gaps) / mean(gaps) == pytest.approx(cv, rel=0.1)
    assert times == sorted(times)
    assert times[-1] < 1000


def test_points_jump_ramp_and_begin_again() -> None:
    """2/s, a jump to 20/s at 100 s, down to 0 in a line from 150 s to 200 s; the same once more."""
    points = [(0, 2), (100, 2), (100, 20), (150, 20), (200, 0)]
    times = times_of(400, points=points, points_every_s=200)
    for start_s in (0, 200):
        assert count(times, start_s, start_s + 100) == pytest.approx(200, rel=0.15)
        assert count(times, start_s + 100, start_s + 150) == pytest.approx(1000, rel=0.1)
        assert count(times, start_s + 150, start_s + 175) == pytest.approx(375, rel=0.15)
        assert count(times, start_s + 175, start_s + 200) == pytest.approx(125, rel=0.25)


def test_a_wave_keeps_its_mean_and_peaks_where_it_should() -> None:
    """1/s to 19/s around 10/s."""
    wave = {"swing": 0.9, "period_s": 400, "peak_at_s": 100}
    times = times_of(400, requests_per_second=10, wave=wave)
    assert len(times) == pytest.approx(4000, rel=0.06)
    assert count(times, 80, 120) == pytest.approx(40 * 18.9, rel=0.12)
    assert count(times, 280, 320) == pytest.approx(40 * 1.1, rel=0.5)


def test_days_make_a_week() -> None:
    """Each day its own multiple, and the first again after the last."""
    found = rates_of(3 * 86_400, requests_per_second=2, days=[1, 0.25])
    assert [found[86_400 * day + 100] for day in range(3)] == [2, 0.5, 2]


def test_states_dwell_as_long_as_they_should() -> None:
    """Three levels; time spent in proportion to the dwell times, in stays of their mean."""
    states = [{"times": 1, "dwell_s": 50}, {"times": 2, "dwell_s": 100}, {"times": 4, "dwell_s": 150}]
    found = rates_of(100_000, states=states)
    shares = Counter(found)
    for state in states:
        assert shares[state["times"]] / len(found) == pytest.approx(state["dwell_s"] / 300, rel=0.12)
    jumps = sum(before != after for before, after in pairwise(found))
    assert jumps / 2 == pytest.approx(100_000 / 100, rel=0.1)  # a jump within a step shows as two


def test_noise_has_its_mean_its_spread_and_its_memory() -> None:
    """Around 10/s with cv 0.3; alike after a second, unlike after three times its memory."""
    found = rates_of(200_000, requests_per_second=10, noise={"cv": 0.3, "memory_s": 60})
    assert mean(found) == pytest.approx(10, rel=0.03)
    assert stdev(found) / mean(found) == pytest.approx(0.3, rel=0.1)
    off = [value - 10 for value in found[::7]]

    def alike(lag: int) -> float:
        return mean(a * b for a, b in zip(off, off[lag:], strict=False)) / mean(a * a for a in off)

    assert alike(1) == pytest.approx(0.89, abs=0.03)  # exp(-7/60)
    assert abs(alike(30)) < 0.1


def test_spikes_rise_hold_and_fall_and_the_higher_counts() -> None:
    """Begun at 100 s and again at 120 s, before the first is over."""
    spikes = {"times": 3, "at_s": [120, 100], "rise_s": 10, "hold_s": 20, "fall_s": 10}
    found = rates_of(5000, spikes=spikes)
    assert found[99] == found[160] == 1
    assert found[104] == pytest.approx(1.9)  # 4.5 s of 10 up
    assert found[115] == found[129] == found[149] == 3
    assert found[154] == pytest.approx(2.1)


@pytest.mark.parametrize(("cv", "least", "most"), [(0.0, 99, 100), (1.0, 80, 120)])
def test_a_train_of_spikes_has_its_rate(cv: float, least: int, most: int) -> None:
    """One every 1000 s, like a clock or by chance."""
    spikes = {"times": 2, "every_s": 1000, "cv": cv, "rise_s": 0, "hold_s": 1, "fall_s": 0}
    found = rates_of(100_000, spikes=spikes)
    assert least <= sum(rate == 2 for rate in found) <= most


def test_what_is_left_out_does_not_move_the_rest() -> None:
    """States are the same with and without noise: each part draws for itself."""
    states = [{"times": 1, "dwell_s": 50}, {"times": 2, "dwell_s": 50}]
    plain = rates_of(1000, states=states)
    noisy = rates_of(1000, states=states, noise={"cv": 0.01})
    assert [round(rate) for rate in noisy] == [round(rate) for rate in plain]


def test_lengths_have_their_mean_and_their_bounds() -> None:
    """Log-normal, cut at the longest."""
    law = LengthSpec(mean=500, cv=1, max=4000)
    lengths = lognormal_lengths(law, law, random.Random(SEED))
    drawn = [length for _ in range(10_000) for length in lengths()]
    assert mean(drawn) == pytest.approx(500, rel=0.05)
    assert min(drawn) >= 1
    assert max(drawn) <= 4000


def test_lengths_of_a_trace_come_in_its_pairs_and_shares() -> None:
    """Also of one longer than the sample that is kept: each request is as likely."""
    arrivals = (Arrival(0.0, 10 + place % 4, 20 + place % 4) for place in range(MOST_PAIRS * 2))
    lengths = empirical_lengths(arrivals, random.Random(SEED))
    drawn = Counter(lengths() for _ in range(4000))
    assert set(drawn) == {(10, 20), (11, 21), (12, 22), (13, 23)}
    assert min(drawn.values()) > 850


def test_the_same_seed_gives_the_same_workload_and_another_does_not() -> None:
    """Seeded, and by nothing else."""
    sessions = {"turns": 3, "think_s": 4}
    spec: dict[str, Any] = {"duration_s": 50, "rate": {"requests_per_second": 5}, "sessions": sessions}
    assert made(1, **spec) == made(1, **spec)
    assert made(1, **spec) != made(2, **spec)


def test_system_prompts_are_shared_by_whole_blocks() -> None:
    """600 tokens are one block of 512 and a rest; three of them, used as 1 : 1/2 : 1/3."""
    arrivals = made(
        duration_s=300,
        rate={"requests_per_second": 10},
        system_prompts={"count": 3, "tokens": 600, "skew": 1},
    )
    assert all(arrival.input_tokens > 600 and len(arrival.prefix_blocks) == 1 for arrival in arrivals)
    shares = sorted(Counter(arrival.prefix_blocks for arrival in arrivals).values(), reverse=True)
    assert [share / len(arrivals) for share in shares] == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.03)


def test_a_conversation_begins_with_all_that_was_said() -> None:
    """Each later turn finds the whole prompt of the turn before, and no other conversation's."""
    arrivals = made(
        duration_s=200,
        rate={"requests_per_second": 2},
        sessions={"turns": 5, "think_s": 10},
        block_tokens=64,
    )
    conversations: dict[int, list[Arrival]] = {}
    for arrival in arrivals:
        conversations.setdefault(arrival.prefix_blocks[0], []).append(arrival)
    assert any(len(turns) > 3 for turns in conversations.values())
    for turns in conversations.values():
        for before, after in pairwise(turns):
            assert after.arrival_s >= before.arrival_s
            assert after.input_tokens > before.input_tokens + before.output_tokens
            assert after.prefix_blocks[: len(before.prefix_blocks)] == before.prefix_blocks
    times = [arrival.arrival_s for arrival in arrivals]
    assert times == sorted(times)
    reuse = PrefixReuse()
    found = sum(reuse.add(arrival) for arrival in arrivals)
    assert found == sum(before.input_tokens for turns in conversations.values() for before in turns[:-1])


def test_a_conversation_ends_before_its_context_does() -> None:
    """Prompt and output fit, always."""
    sessions = {"turns": 50, "think_s": 1, "max_context_tokens": 1000}
    arrivals = made(duration_s=200, rate={"requests_per_second": 2}, sessions=sessions)
    assert max(arrival.input_tokens + arrival.output_tokens for arrival in arrivals) <= 1000


def test_statistics_of_a_made_workload_are_those_of_its_recipe() -> None:
    """The statistics look at it with other code than made it."""
    stats = workload_stats(made(duration_s=600, rate={"requests_per_second": 10}))
    assert stats.mean_per_s == pytest.approx(10, rel=0.05)
    assert stats.gap_cv == pytest.approx(1, rel=0.1)
    assert stats.dispersion[1] == pytest.approx(1, rel=0.2)
    assert stats.input_tokens.mean == pytest.approx(200, rel=0.05)
    assert stats.prefix_reuse == 0
