"""What is reported to KEDA, under the model of the HPA that KEDA makes."""

from hypothesis import example, given
from hypothesis import strategies as st

from penstock.autoscale.hpa import Hpa, HpaState, Target, sync
from penstock.autoscale.hpa_behavior import settled
from penstock.autoscale.hpa_pods import Pod
from penstock.autoscale.keda_value import TARGET, value_milli
from penstock.autoscale.policies import policy_for
from penstock.messages.observation import Signal
from penstock.messages.scaling_spec import Behavior
from penstock.messages.spec import DeploymentBody
from penstock.operator.desired.autoscaler import planner_behavior

MOST = 200
COUNTS = st.integers(1, MOST)


def synced(desired: int, current: int, ready: int, times: int = 1) -> int:
    """The count after some syncs 15 s apart, of an HPA that KEDA made from our ScaledObject."""
    behavior = Behavior.model_validate(planner_behavior(MOST), by_alias=True, by_name=False)
    target = Target(metric=Signal.QUEUE, type="AverageValue", target=int(1000 * TARGET))
    hpa = Hpa(minimum=1, maximum=MOST, targets=(target,), behaviors=settled(behavior))
    state, count = HpaState(), current
    for number in range(times):
        outcome, state = sync(
            hpa,
            state,
            replicas=count,
            status_replicas=count,
            pods=[Pod(name=f"p{i}") for i in range(min(ready, count))],
            values=[value_milli(desired, count)],
            now_s=15.0 * number,
        )
        count = outcome.desired
    return count


@given(desired=COUNTS, current=COUNTS, ready=st.integers(0, MOST))
@example(desired=10, current=9, ready=9)
@example(desired=101, current=100, ready=100)
def test_there_are_never_fewer_than_decided_and_at_most_a_tenth_more(desired: int, current: int, ready: int) -> None:
    """Whatever the number of ready pods, at the first sync and for good."""
    at_once, settled_at = synced(desired, current, ready), synced(desired, current, ready, times=4)
    assert desired <= at_once <= max(desired, 1.1 * current + 1 if desired > current else current)
    assert desired <= settled_at <= desired / 0.9 + 1


@given(desired=st.integers(1, 19), current=st.integers(1, 19))
@example(desired=11, current=10)
def test_up_to_19_replicas_the_count_is_exact(desired: int, current: int) -> None:
    """On the way in and from fewer than 10 on the way out at the first sync; else at the second."""
    if desired <= current or current < 10:
        assert synced(desired, current, current) == desired
    assert synced(desired, current, current, times=2) == desired


def test_under_keda_the_planner_is_the_same_planner() -> None:
    """So a file that is tried here or in virtual time decides as it will there."""

    def policy(**scaling: object) -> object:
        spec = {
            "model": {"name": "m"},
            "slo": {"ttftSeconds": 1, "itlSeconds": 0.1},
            "components": [{"name": "w", "role": "worker", "autoscaling": scaling}],
        }
        body = DeploymentBody.model_validate(spec, by_alias=True, by_name=False)
        return policy_for(body, body.component("w"))

    rules = {"quantile": 0.9, "coolInSeconds": 7, "maxStepIn": 2, "intervalSeconds": 3}
    asked = policy(by="keda", min=0, max=4, planner=rules)
    assert asked == policy(by="planner", min=0, max=4, **rules)
    assert policy(by="keda", max=4, planner={}) == policy(by="planner", max=4) != asked


@given(count=st.integers(0, MOST))
def test_a_count_that_is_there_stays(count: int) -> None:
    assert value_milli(count, count) == 1000 * count
    if count:
        assert synced(count, count, count, times=3) == count
