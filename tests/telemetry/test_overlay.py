"""What a comparison draws of a run: a grid that others fit into, and no peak lost on it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.telemetry.overlay import MAX_STEPS, held_on, overlay, step_for


def described(length_s: int, queue: list[float | None], **series: list[Any]) -> dict[str, Any]:
    pools = [{"name": "prefill"}, {"name": "decode"}]
    columns = {"pool/prefill/queue": queue, "pool/decode/queue": [1.0] * len(queue), **series}
    return {
        "history": {
            "meta": {"pools": pools, "slo": {"window_s": 60}},
            "time_s": [float(each) for each in range(length_s)],
            "series": columns,
            "decisions": [],
        },
        "summary": {},
        "verdict": {},
        "info": {},
        "windows": [],
    }


@given(st.floats(0, 1e7))
def test_steps_are_few_and_fit_into_each_other(length_s: float) -> None:
    """A power of two seconds, and no more of them than a screen shows."""
    step_s = step_for(length_s)
    assert length_s / step_s <= MAX_STEPS
    assert step_s.is_integer()
    assert int(step_s) & (int(step_s) - 1) == 0


def test_a_peak_of_one_second_stays_and_pools_add_up() -> None:
    """A day has steps of many seconds: of queues each shows its largest, of counts its last."""
    length_s = 10_000
    queue: list[float | None] = [0.0] * length_s
    queue[5_001] = 90.0
    ready = [float(second // 5000) for second in range(length_s)]
    drawn = overlay(described(length_s, queue, **{"pool/prefill/ready": ready}))
    assert len(drawn["time_s"]) <= MAX_STEPS
    assert max(drawn["curves"]["queue"]) == 91.0
    assert drawn["curves"]["ready"][-1] == 1.0
    assert set(drawn["curves"]["ready"]) == {0.0, 1.0}


def test_what_nobody_measured_is_no_nought() -> None:
    """Neither a figure that no pool has, nor an instant without one."""
    drawn = overlay(described(3, [None, 2.0, None]))
    assert drawn["curves"]["kv_usage"] == [None, None, None]
    assert drawn["curves"]["queue"] == [1.0, 3.0, 1.0]


def test_a_column_on_another_grid_holds_its_latest_value_while_its_run_lasts() -> None:
    """Nothing before the first, nothing once the run is over."""
    grid = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert held_on(grid, [1.0, 4.0], [7.0, 8.0], 1.0) == [None, 7.0, 7.0, 7.0, 8.0, 8.0, None]
