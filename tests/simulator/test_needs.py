"""What each window needs: the search over counts, the cut into stretches, and both against every count tried."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_runs import deployment, workload

from penstock.messages.spec import DeploymentBody
from penstock.simulator import needs, stretches
from penstock.simulator.needs import least_counts, needed
from penstock.simulator.records import Records
from penstock.simulator.run import simulate
from penstock.simulator.workload_source import WorkloadSource
from penstock.workload import penstock_jsonl
from penstock.workload.arrival import Arrival

WINDOW_S, MOST = 10.0, 5


@given(
    wanted=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    most=st.integers(1, 10),
    data=st.data(),
)
def test_the_search_finds_every_least_count_from_any_guess(wanted: list[int], most: int, data: st.DataObject) -> None:
    """And never asks for the same count of the same window twice, nor for more than it may."""
    guesses = data.draw(st.lists(st.integers(1, 15), min_size=len(wanted), max_size=len(wanted)))
    stretch = stretches.Stretch(first=7, window_s=60, warm_up=3, arrivals=[], tokens=[100 * each for each in wanted])
    asked = set()

    def met(count: int, first: int, last: int) -> dict[int, bool]:
        assert 1 <= count < most
        assert (count, first, last) not in asked
        asked.add((count, first, last))
        return {at: count >= wanted[at - 7] for at in range(first, last + 1) if wanted[at - 7]}

    assert least_counts(met, stretch, guesses, most) == [min(each, most) for each in wanted]


@given(gaps_s=st.lists(st.floats(0, 50), min_size=1, max_size=300), shares=st.booleans())
def test_stretches_hold_every_request_once_and_what_comes_around_them(gaps_s: list[float], shares: bool) -> None:
    """Each window is counted in one stretch, and a part of it begins a warm-up earlier and ends a window later."""
    at_s, arrivals = 0.0, []
    for gap_s in gaps_s:
        at_s += gap_s
        arrivals.append(Arrival(at_s, 3, 1, (1,) if shares else ()))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STRETCH_S": 200.0, "WARM_UP_S": 30.0, "SHARED_STRETCH_S": 90.0}.items():
            patch.setattr(stretches, name, value)
        patch.setattr(stretches, "SHARED_WARM_UP_S", 60.0)
        found = list(stretches.stretches(arrivals, WINDOW_S))
    tokens = [count for stretch in found for count in stretch.tokens]
    assert sum(tokens) == 4 * len(arrivals)
    assert [stretch.first for stretch in found] == [sum(len(e.tokens) for e in found[:k]) for k in range(len(found))]
    for stretch in found:
        at = stretch.first + len(stretch.tokens) // 2
        part, begins = stretch.part(at, at)
        assert begins == max(0, at - (6 if shares else 3))
        expected = [each.arrival_s for each in arrivals if begins * WINDOW_S <= each.arrival_s < (at + 2) * WINDOW_S]
        assert [each.arrival_s + begins * WINDOW_S for each in part] == pytest.approx(expected)


def spec(replicas: int = 1) -> DeploymentBody:
    pool = {"name": "w", "role": "worker", "replicas": replicas, "autoscaling": {"by": "none"}}
    return deployment(pool, slo={"ttft_s": 0.5, "itl_s": 0.05, "window_s": WINDOW_S})


@pytest.mark.parametrize("stretch_s", [60.0, 3600.0])
def test_needs_are_those_that_every_fixed_count_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stretch_s: float
) -> None:
    """In one piece equal; in short stretches after a short warm-up, off by one in few windows."""
    monkeypatch.setattr(stretches, "STRETCH_S", stretch_s)
    monkeypatch.setattr(stretches, "WARM_UP_S", 40.0)
    arrivals = sorted(
        [
            *workload(1, 500, rate=3.0),
            *workload(2, 900, rate=18.0, from_s=60.0),
            *workload(3, 200, rate=9.0, from_s=30.0),
        ],
        key=lambda arrival: arrival.arrival_s,
    )
    path = tmp_path / "trace.jsonl"
    with path.open("wb") as file:
        penstock_jsonl.write(arrivals, file)
    with ThreadPoolExecutor(1) as pool:
        found = needed(spec(), MOST, WorkloadSource(trace=str(path)), pool)["w"]
    expected = [MOST] * len(found)
    for count in range(MOST - 1, 0, -1):
        records = Records(spec().slo)
        simulate(needs.with_counts(spec(), {"w": count}), iter(arrivals), records=records)
        for window in records.summary.windows:
            if window.met(spec().slo):
                expected[round(window.start_s / WINDOW_S)] = count
    assert len(set(expected)) > 2
    off = [have - want for have, want in zip(found, expected, strict=True) if have != want]
    assert all(abs(each) == 1 for each in off)
    assert len(off) <= (0 if stretch_s == 3600 else len(expected) // 20)


def test_a_workload_that_begins_with_silence_needs_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where whole stretches are empty, and the search has nothing to begin from."""
    monkeypatch.setattr(stretches, "STRETCH_S", 30.0)
    path = tmp_path / "trace.jsonl"
    with path.open("wb") as file:
        penstock_jsonl.write(workload(1, 200, rate=10.0, from_s=95.0), file)
    with ThreadPoolExecutor(1) as pool:
        found = needed(spec(), MOST, WorkloadSource(trace=str(path)), pool)["w"]
    assert not any(found[:9])
    assert all(found[10:])
