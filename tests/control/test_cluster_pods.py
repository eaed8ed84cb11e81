"""What a pod says of a worker, and what an Event says of a decision."""

from datetime import UTC, datetime
from typing import Any

from penstock.control.cluster_pods import ClusterPod, parse_pod
from penstock.control.cluster_world import event_of
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.worker import WorkerState

NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)


def pod(*, ready: str | None = None, bound: str | None = "2026-01-01T00:00:01Z", **more: Any) -> dict[str, Any]:
    conditions = [
        {
            "type": "PodScheduled",
            "status": "True" if bound else "False",
            "lastTransitionTime": bound or "2026-01-01T00:00:01Z",
        },
        {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": ready or "2026-01-01T00:00:01Z",
        },
    ]
    meta = {"name": "p", "uid": "u", "labels": {"c": "worker"}, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": meta | more, "status": {"phase": "Running", "podIP": "10.77.0.9", "conditions": conditions}}


def read(thing: dict[str, Any]) -> ClusterPod:
    found = parse_pod(thing, component_label="c", port=8000, now=NOW)
    assert found is not None
    return found


def test_a_ready_pod_tells_its_lead_time_and_where_it_is() -> None:
    found = read(pod(ready="2026-01-01T00:01:30Z"))
    assert (found.state, found.lead_time_s, found.waited) == (WorkerState.READY, 90.0, False)
    assert found.url == "http://10.77.0.9:8000"


def test_a_pod_that_was_bound_late_waited_for_a_node() -> None:
    assert read(pod(ready="2026-01-01T00:08:00Z", bound="2026-01-01T00:05:00Z")).waited


def test_a_pod_without_a_node_is_starting_and_waits() -> None:
    found = read(pod(bound=None))
    assert (found.state, found.lead_time_s, found.waited) == (WorkerState.STARTING, None, True)


def test_a_pod_that_terminates_drains_however_ready() -> None:
    assert (
        read(pod(ready="2026-01-01T00:01:30Z", deletionTimestamp="2026-01-01T00:09:00Z")).state is WorkerState.DRAINING
    )


def test_what_has_ended_or_is_no_component_is_no_worker() -> None:
    ended = pod()
    ended["status"]["phase"] = "Failed"
    assert parse_pod(ended, component_label="c", port=8000, now=NOW) is None
    assert parse_pod(pod(), component_label="other", port=8000, now=NOW) is None


def test_an_event_carries_the_sentence_of_the_decision() -> None:
    decision = Decision(
        time_s=1,
        component="worker",
        policy="planner",
        current=1,
        desired=3,
        limited_by=LimitedBy.NONE,
        reason="Demand rose.",
    )
    pool = {"metadata": {"name": "d-worker", "namespace": "ns", "uid": "u"}}
    event = event_of(pool, decision, dry_run=False, now=NOW)
    assert event["message"] == "scaled from 1 to 3: Demand rose."
    assert event["involvedObject"]["uid"] == "u"
    advised = event_of(pool, decision, dry_run=True, now=NOW)
    assert (advised["reason"], advised["message"][:11]) == ("Advised", "would scale")
