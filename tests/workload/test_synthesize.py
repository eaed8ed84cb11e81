"""Made workloads have the rate, the burstiness, the lengths and the sharing that were asked for. Seeds are fixed."""

import random
from itertools import pairwise
from statistics import mean, stdev

import pytest

from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.pace import Pace, Shape, instants
from penstock.workload.stats import PrefixReuse, workload_stats
from penstock.workload.synthesize import LengthLaw, Recipe, synthesize

SEED = 20_251_124


def recipe(pace: Pace, **more: object) -> Recipe:
    lengths = {
        "new_tokens": LengthLaw(flag="--input-tokens", mean=200, cv=0.5),
        "output_tokens": LengthLaw(flag="--output-tokens", mean=50, cv=0.5),
    }
    return Recipe(pace=pace, **{**lengths, **more})  # type: ignore[arg-type]


def count(times: list[float], start_s: float, end_s: float) -> int:
    return sum(start_s <= at_s < end_s for at_s in times)


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
def test_a_constant_pace_has_its_rate_and_its_burstiness(cv: float) -> None:
    """10,000 gaps: the mean within 5 %, their variation within 10 %."""
    times = list(instants(Pace(duration_s=1000, rate=10, cv=cv), random.Random(SEED)))
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert mean(gaps) == pytest.approx(0.1, rel=0.05 * max(cv, 1))
    assert stdev(gaps) / mean(gaps) == pytest.approx(cv, rel=0.1)
    assert times == sorted(times)
    assert times[-1] < 1000


def test_a_spike_is_where_it_should_be() -> None:
    """2/s, but 20/s from 100 s to 150 s."""
    pace = Pace(duration_s=300, rate=2, peak=20, shape=Shape.SPIKE, spike_at_s=100, spike_for_s=50)
    times = list(instants(pace, random.Random(SEED)))
    assert count(times, 100, 150) == pytest.approx(1000, rel=0.1)
    assert count(times, 0, 100) + count(times, 150, 300) == pytest.approx(500, rel=0.15)


def test_a_ramp_grows_evenly() -> None:
    """From 0 to 20/s: the last quarter has 7/16 of all requests."""
    times = list(instants(Pace(duration_s=400, rate=0, peak=20, shape=Shape.RAMP), random.Random(SEED)))
    assert len(times) == pytest.approx(4000, rel=0.06)
    assert count(times, 300, 400) / len(times) == pytest.approx(7 / 16, rel=0.06)


def test_a_diurnal_pace_is_lowest_at_first_and_highest_in_the_middle() -> None:
    """1/s to 19/s over a period of 400 s."""
    times = list(
        instants(Pace(duration_s=400, rate=1, peak=19, shape=Shape.DIURNAL, period_s=400), random.Random(SEED))
    )
    assert len(times) == pytest.approx(4000, rel=0.06)
    assert count(times, 180, 220) == pytest.approx(40 * 18.9, rel=0.12)
    assert count(times, 0, 20) + count(times, 380, 400) == pytest.approx(40 * 1.08, rel=0.5)


def test_lengths_have_their_mean_and_their_bounds() -> None:
    """Log-normal, cut at the longest."""
    law = LengthLaw(flag="x", mean=500, cv=1, most=4000)
    draw = random.Random(SEED)
    lengths = [law.draw(draw) for _ in range(20_000)]
    assert mean(lengths) == pytest.approx(500, rel=0.05)
    assert min(lengths) >= 1
    assert max(lengths) <= 4000


def test_the_same_seed_gives_the_same_workload_and_another_does_not() -> None:
    """Seeded, and by nothing else."""
    made = recipe(Pace(duration_s=50, rate=5), turns=3.0, think_s=4.0, system_prompts=2, system_tokens=600)
    assert list(synthesize(made, seed=1)) == list(synthesize(made, seed=1))
    assert list(synthesize(made, seed=1)) != list(synthesize(made, seed=2))


def test_system_prompts_are_shared_by_whole_blocks() -> None:
    """600 tokens are one block of 512 and a rest; two different ones, about equally often."""
    made = recipe(Pace(duration_s=100, rate=10), system_prompts=2, system_tokens=600)
    arrivals = list(synthesize(made, seed=SEED))
    assert all(arrival.input_tokens > 600 and len(arrival.prefix_blocks) == 1 for arrival in arrivals)
    kinds = {arrival.prefix_blocks for arrival in arrivals}
    assert len(kinds) == 2
    shares = [sum(arrival.prefix_blocks == kind for arrival in arrivals) / len(arrivals) for kind in kinds]
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)


def test_a_conversation_begins_with_all_that_was_said() -> None:
    """Each later turn finds the whole prompt of the turn before, and no other conversation's."""
    made = recipe(Pace(duration_s=200, rate=2), turns=5.0, think_s=10.0, block_tokens=64)
    arrivals = list(synthesize(made, seed=SEED))
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
    made = recipe(Pace(duration_s=200, rate=2), turns=50.0, think_s=1.0, max_context_tokens=1000)
    arrivals = list(synthesize(made, seed=SEED))
    assert max(arrival.input_tokens + arrival.output_tokens for arrival in arrivals) <= 1000


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda: Pace(duration_s=0, rate=1), "--duration-s"),
        (lambda: Pace(duration_s=1, rate=-1), "--rate"),
        (lambda: Pace(duration_s=1, rate=0), "--rate"),
        (lambda: Pace(duration_s=1, rate=float("nan")), "--rate"),
        (lambda: Pace(duration_s=1, rate=1, cv=0), "--cv"),
        (lambda: Pace(duration_s=1, rate=1, shape=Shape.SPIKE), "--peak"),
        (lambda: LengthLaw(flag="--input-tokens", mean=0), "--input-tokens"),
        (lambda: LengthLaw(flag="--input-tokens", mean=5, cv=-1), "--input-tokens-cv"),
        (lambda: recipe(Pace(duration_s=1, rate=1), turns=0.5), "--turns"),
        (lambda: recipe(Pace(duration_s=1, rate=1), system_prompts=1), "--system-prompts"),
        (lambda: recipe(Pace(duration_s=1, rate=1), system_prompts=1, system_tokens=40_000), "--system-tokens"),
    ],
)
def test_a_figure_that_makes_no_sense_is_told_by_its_flag(make, flag: str) -> None:
    """One line, with what would be right."""
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.where == flag


def test_statistics_of_a_made_workload_are_those_of_its_recipe() -> None:
    """The statistics look at it with other code than made it."""
    arrivals = synthesize(recipe(Pace(duration_s=600, rate=10)), seed=SEED)
    stats = workload_stats(arrivals)
    assert stats.mean_per_s == pytest.approx(10, rel=0.05)
    assert stats.gap_cv == pytest.approx(1, rel=0.1)
    assert stats.dispersion[1] == pytest.approx(1, rel=0.2)
    assert stats.input_tokens.mean == pytest.approx(200, rel=0.05)
    assert stats.prefix_reuse == 0
