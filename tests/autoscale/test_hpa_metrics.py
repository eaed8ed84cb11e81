"""What one metric of a HorizontalPodAutoscaler asks for: the facts, one by one."""

import math

import pytest

from penstock.autoscale.hpa_metrics import (
    INT32_MAX,
    MetricError,
    Proposal,
    Tolerance,
    adapter_milli,
    average_proposal,
    cpu_proposal,
    quantity_float,
    quantity_milli,
    value_proposal,
)
from penstock.autoscale.hpa_pods import CpuSample, Phase, Pod, group_pods, pods_of, running_and_ready
from penstock.messages.observation import PoolSeen, Sample

NOW_S = 10_000.0
TOLERANCE = Tolerance()


def busy(name: str, milli: int, **rest: object) -> Pod:
    """A pod that has long been ready and uses `milli` of its 1000."""
    return Pod(name=name, cpu=CpuSample(milli=milli, at_s=NOW_S), **rest)  # type: ignore[arg-type]


def cpu(target: int, *pods: Pod, current: int | None = None) -> Proposal:
    return cpu_proposal(
        target, pods, current=len(pods) if current is None else current, tolerance=TOLERANCE, now_s=NOW_S
    )


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([700, 700], 2),  # at target
        ([770, 770], 2),  # ratio 1.1 is still within
        ([780, 780], 3),  # 78 / 70
        ([630, 630], 2),  # ratio 0.9 is still within
        ([350, 350], 1),
        ([1400, 1400], 4),
        ([700, 100], 2),  # 40 / 70 of two
    ],
)
def test_cpu_asks_for_ready_pods_times_utilization_over_target(used: list[int], expected: int) -> None:
    assert cpu(70, *(busy(f"p{i}", milli) for i, milli in enumerate(used))).replicas == expected


def test_utilization_is_cut_to_whole_percent_before_the_ratio() -> None:
    """77.9 % counts as 77 %, whose ratio to 70 is the tolerance's very edge: nothing moves."""
    pod = busy("a", 779)
    assert cpu(70, pod) == Proposal(replicas=1, ratio=77 / 70, held=True)


def test_a_running_pod_without_a_sample_counts_as_idle_on_the_way_up() -> None:
    """One at 200 % of target and one unknown: (140 + 0) / 2 = 70 %, so the two stay."""
    assert cpu(70, busy("a", 1400), Pod(name="b")).replicas == 2
    assert cpu(70, busy("a", 2800), Pod(name="b")).replicas == 4


def test_a_running_pod_without_a_sample_counts_as_fully_busy_on_the_way_down() -> None:
    """10 % and an assumed 100 % of two pods: 55 / 70 of 2 is 2; nothing goes for a missing sample."""
    assert cpu(70, busy("a", 100), Pod(name="b")).replicas == 2
    pods = [busy(f"p{i}", 100) for i in range(4)]
    assert cpu(70, *pods, Pod(name="m")).replicas == 2  # (40 + 100) / 5 = 28 %: 0.4 x 5


def test_a_missing_pod_counts_as_the_target_where_that_is_over_one_hundred() -> None:
    """Target 200 %: (20 + 200) / 2 = 110 %, 0.55 x 2 pods; as 100 % one would do."""
    assert cpu(200, busy("a", 200), Pod(name="b")).replicas == 2


def test_a_fill_in_that_would_turn_the_direction_keeps_the_count() -> None:
    """Up by what is known, down once the unknown count as idle: neither."""
    assert cpu(70, busy("a", 1000), Pod(name="b"), Pod(name="c")) == Proposal(replicas=3, ratio=33 / 70, held=True)


def test_a_pending_pod_counts_as_idle_on_the_way_up_and_not_at_all_on_the_way_down() -> None:
    pending = Pod(name="p", phase=Phase.PENDING, ready=None, started_at_s=None)
    assert cpu(70, busy("a", 1400), busy("b", 1400), pending).replicas == 4  # 93 %: 1.33 x 3
    assert cpu(70, busy("a", 140), busy("b", 140), pending).replicas == 1  # 0.2 x 2


def test_a_young_pod_that_is_not_ready_is_unready_for_cpu() -> None:
    young = busy("y", 900, ready=False, started_at_s=NOW_S - 60, ready_since_s=NOW_S - 60)
    assert group_pods([young], now_s=NOW_S).unready == {"y"}


def test_a_young_ready_pod_is_unready_until_a_whole_window_was_sampled_since() -> None:
    def pod(sampled_s: float) -> Pod:
        sample = CpuSample(milli=900, at_s=sampled_s, window_s=30)
        return Pod(name="y", started_at_s=NOW_S - 60, ready_since_s=NOW_S - 50, cpu=sample)

    assert group_pods([pod(NOW_S - 21)], now_s=NOW_S).unready == {"y"}
    assert group_pods([pod(NOW_S - 20)], now_s=NOW_S).ready == {"y"}


def test_an_old_pod_is_unready_for_cpu_only_if_it_never_was_ready() -> None:
    """Its readiness last changed within 30 s of its start: it has never been ready."""
    never = busy("n", 900, ready=False, started_at_s=NOW_S - 900, ready_since_s=NOW_S - 890)
    lost = busy("l", 900, ready=False, started_at_s=NOW_S - 900, ready_since_s=NOW_S - 800)
    groups = group_pods([never, lost], now_s=NOW_S)
    assert (groups.unready, groups.ready) == ({"n"}, {"l"})


def test_terminating_and_failed_pods_are_ignored_for_cpu() -> None:
    pods = [busy("a", 1400), busy("t", 100, terminating=True), busy("f", 100, phase=Phase.FAILED)]
    assert cpu(70, *pods, current=1).replicas == 2


def test_cpu_fails_without_pods_or_without_any_sample() -> None:
    with pytest.raises(MetricError):
        cpu(70)
    with pytest.raises(MetricError):
        cpu(70, Pod(name="a"))


@pytest.mark.parametrize(
    ("value", "current", "ready", "expected"),
    [
        (0.395, 2, 2, 3),  # seen with KEDA on a real control plane: 2, 3, 4
        (0.395, 3, 3, 4),
        (0.33, 2, 2, 2),  # within the tolerance
        (0.27, 2, 2, 2),
        (0.1, 4, 4, 2),  # ceil(4 / 3)
        (0.6, 4, 2, 4),  # ready pods count, not replicas
        (0.6, 0, 0, 2),  # at zero: the ratio alone
        (0.0, 0, 0, 0),
    ],
)
def test_value_multiplies_the_ready_pods(value: float, current: int, ready: int, expected: int) -> None:
    pods = [Pod(name=f"r{i}") for i in range(ready)]
    pods += [Pod(name=f"s{i}", phase=Phase.PENDING, ready=None) for i in range(max(0, current - ready))]
    asked = value_proposal(adapter_milli(value), 300, pods, current=current, tolerance=TOLERANCE)
    assert asked.replicas == expected


def test_value_counts_terminating_pods_that_are_ready() -> None:
    pods = [Pod(name="a"), Pod(name="b", terminating=True), Pod(name="c", ready=False)]
    assert running_and_ready(pods) == 2
    assert value_proposal(600, 300, pods, current=1, tolerance=TOLERANCE).replicas == 4


def test_value_fails_without_any_pod_above_zero_replicas() -> None:
    with pytest.raises(MetricError):
        value_proposal(600, 300, [], current=2, tolerance=TOLERANCE)


def test_value_within_tolerance_needs_no_pod() -> None:
    assert value_proposal(300, 300, [], current=2, tolerance=TOLERANCE).held


@pytest.mark.parametrize(
    ("value", "replicas", "expected"),
    [
        (0.495, 2, 2),  # seen: reads 248m a replica against 300m; 2 replicas, no scale-up
        (0.66, 2, 2),  # 2 to 3 takes more than 0.66
        (0.661, 2, 3),
        (0.1, 4, 1),  # a healthy TTFT says one replica
        (0.9, 4, 3),
        (1.2, 4, 4),
        (1.2, 100, 4),  # whatever the current count
        (0.0, 0, 0),  # nothing over nothing is no number, and no number is not "within"
        (0.5, 0, 2),
    ],
)
def test_average_value_divides_by_the_target_alone(value: float, replicas: int, expected: int) -> None:
    """A latency threshold is then in effect threshold x replicas."""
    asked = average_proposal(adapter_milli(value), 300, status_replicas=replicas, tolerance=TOLERANCE)
    assert asked.replicas == expected


def test_a_negative_average_value_is_taken_for_an_overflow_and_asks_for_everything() -> None:
    assert average_proposal(-1, 300, status_replicas=2, tolerance=TOLERANCE).replicas == INT32_MAX


def test_the_two_tolerances_are_apart() -> None:
    tolerance = Tolerance(down=0.0, up=0.5)
    assert tolerance.holds(1.5)
    assert not tolerance.holds(0.99)
    assert not tolerance.holds(math.nan)


def test_quantities_round_up_and_adapters_cut() -> None:
    assert (quantity_milli(0.3), quantity_milli(0.0001), adapter_milli(1.001)) == (300, 1, 1000)
    assert (quantity_milli(1e-10), quantity_milli(0.0010000000001)) == (1, 2)


def test_a_tolerance_is_the_float_that_the_controller_makes_of_its_quantity() -> None:
    """700m becomes 0.7000000000000001, so at a tolerance of 0.7 a ratio of exactly 0.3 is held; 0.3 itself is exact."""
    assert (quantity_float(0.7), quantity_float(0.3), quantity_float(1.0)) == (0.7000000000000001, 0.3, 1.0)
    assert Tolerance(down=quantity_float(0.7)).holds(15 / 50)
    assert not Tolerance(down=0.7).holds(15 / 50)


def test_a_pools_replicas_become_pods() -> None:
    """Starting ones are pending, draining ones terminate and are ready still, all ready ones used the pool's mean."""
    seen = PoolSeen(component="w", desired=3, starting=1, ready=2, draining=1)
    pods = pods_of(seen, Sample(value=0.9, age_s=5), now_s=NOW_S)
    groups = group_pods(pods, now_s=NOW_S)
    assert (len(groups.ready), len(groups.unready), len(groups.ignored), len(groups.missing)) == (2, 1, 1, 0)
    assert running_and_ready(pods) == 3
    assert {pod.cpu.milli for pod in pods if pod.cpu} == {900}
