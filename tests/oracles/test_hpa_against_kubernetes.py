"""The HorizontalPodAutoscaler, sync by sync, against Kubernetes' own controller (1.34) in virtual time.

Compared on every sync: the scale after it, and the controller's conditions with the reason that Penstock gives. What
the policy has no words for is not compared: Pods and ContainerResource metrics, resources other than CPU utilisation,
several series of one metric, pods of several containers or without a CPU request, two autoscalers on one workload, a
scale that cannot be written, other flags of the controller than sync period and tolerance.

`PENSTOCK_ORACLE_SEED` tries other scenarios; a failure names the seed.
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hpa_scenario import HpaScenario, Replay, SyncSeen
from hpa_scenarios import scenarios

from go_program import go_program
from penstock.autoscale import hpa, hpa_behavior, hpa_metrics
from penstock.autoscale.hpa import Hpa, Sync
from penstock.autoscale.hpa_behavior import Recommendation, ScaleEvent, remembered
from penstock.autoscale.hpa_metrics import Proposal, Tolerance, average_proposal
from penstock.autoscale.hpa_pods import Phase, group_pods
from penstock.messages.decision import LimitedBy

SEED = int(os.environ.get("PENSTOCK_ORACLE_SEED", "1"))
SCENARIOS = 400

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(1800)]  # the first build takes minutes


@dataclass(frozen=True, slots=True)
class Answered:
    """A scenario and what the controller made of each of its syncs."""

    number: int
    scenario: HpaScenario
    answers: list[dict[str, Any]]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> list[Answered]:
    """All scenarios, with the controller's answers."""
    binary = go_program(Path(__file__).parent / "go" / "kubernetes")
    asked = list(scenarios(SEED, SCENARIOS))
    folder = tmp_path_factory.mktemp("kubernetes")
    given, taken = folder / "scenarios.jsonl", folder / "answers.jsonl"
    given.write_text("".join(f"{scenario.line()}\n" for scenario in asked))
    run = subprocess.run(
        [binary, "-test.run", "TestScenarios", "-test.timeout", "10m"],
        env=os.environ | {"ORACLE_IN": str(given), "ORACLE_OUT": str(taken)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"the controller stopped (seed {SEED}):\n{run.stdout[-2000:]}{run.stderr[-2000:]}"
    answers = [json.loads(line) for line in taken.read_text().splitlines()]
    assert [len(one) for one in answers] == [len(scenario.syncs) for scenario in asked]
    return [Answered(*one) for one in zip(range(SCENARIOS), asked, answers, strict=True)]


@dataclass(frozen=True, slots=True)
class Step:
    """One sync, as both took it."""

    where: str
    seen: SyncSeen
    now_s: float
    before: int
    after: int
    outcome: Sync
    hpa: Hpa
    answer: dict[str, Any]


def steps(one: Answered) -> Iterator[Step]:
    """Take Penstock through the scenario, beside the controller's answers."""
    replay = Replay(one.scenario)
    for number, (seen, answer) in enumerate(zip(one.scenario.syncs, one.answers, strict=True)):
        where = f"seed {SEED}, scenario {one.number}, sync {number}"
        before = replay.replicas if seen.replicas is None else seen.replicas
        now_s = one.scenario.now_s(number)
        outcome = replay.sync(seen, now_s)
        yield Step(where, seen, now_s, before, replay.replicas, outcome, replay.policy.hpa, answer)


def first_difference(one: Answered) -> str | None:
    """Where Penstock leaves the controller's way, with all that a reader needs to follow it; None if nowhere."""
    for step in steps(one):
        if step.after != step.answer["replicas"]:
            return f"{step.where}: from {step.before} Penstock goes to {step.after}, Kubernetes not:\n{step}"
    return None


def test_every_decision_is_the_controllers(answered: list[Answered]) -> None:
    differences = [text for one in answered if (text := first_difference(one)) is not None]
    assert not differences, f"{len(differences)} of {len(answered)} scenarios differ; the first: {differences[0]}"


def test_every_reason_is_the_controllers_condition(answered: list[Answered]) -> None:
    """What limited a decision is what the controller writes into the autoscaler's status."""
    for one in answered:
        for step in steps(one):
            for kind, reasons in conditions(step.outcome, step.before).items():
                assert step.answer["conditions"].get(kind) in reasons, f"{step.where}, {kind}:\n{step}"


def conditions(outcome: Sync, before: int) -> dict[str, tuple[str, ...]]:
    """The reasons that the controller may give, by type of condition, as far as this sync sets them."""
    if outcome.limited_by is LimitedBy.OWNER:
        return {"ScalingActive": ("ScalingDisabled",)}
    if not outcome.answers:
        return {"AbleToScale": ("SucceededRescale",)}
    normalized = outcome.normalized
    if normalized is None:
        failures = ("FailedGetResourceMetric", "FailedGetExternalMetric", "FailedGetObjectMetric")
        return {"AbleToScale": ("SucceededGetScale",), "ScalingActive": failures}
    limits = {
        LimitedBy.RATE: "ScaleUpLimit" if normalized.stabilized > before else "ScaleDownLimit",
        LimitedBy.MAX: "TooManyReplicas",
        LimitedBy.MIN: "TooFewReplicas",
    }
    able: tuple[str, ...] = ("ReadyForNewScale",)
    if outcome.desired != before:
        able = ("SucceededRescale",)
    elif normalized.stabilized != outcome.recommended:
        able = ("ScaleUpStabilized", "ScaleDownStabilized")
    return {
        "AbleToScale": able,
        "ScalingActive": ("ValidMetricFound",),
        "ScalingLimited": (limits.get(normalized.limited_by, "DesiredWithinRange"),),
    }


def test_the_scenarios_meet_every_rule(answered: list[Answered]) -> None:
    """Equal answers prove little where nothing happens."""
    met: Counter[str] = Counter()
    for one in answered:
        met["long runs"] += len(one.scenario.syncs) >= 80
        for number, step in enumerate(steps(one)):
            answers = step.outcome.answers
            met["syncs"] += 1
            met[f"limited by {step.outcome.limited_by}"] += 1
            met["up"] += step.after > step.before
            met["down"] += step.after < step.before
            met["from zero"] += step.after > step.before == 0
            met["to zero"] += step.before > step.after == 0
            met["spec changed"] += step.seen.scaling is not None
            met["scale changed by others"] += step.seen.replicas is not None
            met["one metric of several failed"] += len({type(answer) for answer in answers}) == 2
            met["up in spite of a failed metric"] += step.after > step.before and str in map(type, answers)
            met["seen as a pool"] += step.seen.pool is not None
            if number % 10 == 0 and any(target.type == "Utilization" for target in step.hpa.targets):
                groups = group_pods(step.seen.pods, now_s=step.now_s)
                met["unready pods"] += bool(groups.unready)
                met["pods without a sample"] += bool(groups.missing)
                met["pods ignored"] += bool(groups.ignored)
    rules = ("none", "min", "max", "tolerance", "stabilization", "rate", "missing_data", "owner")
    expected = {f"limited by {rule}" for rule in rules} | {
        *("long runs", "up", "down", "from zero", "to zero", "spec changed", "scale changed by others"),
        *("one metric of several failed", "up in spite of a failed metric", "seen as a pool"),
        *("unready pods", "pods without a sample", "pods ignored"),
    }
    assert {name: met[name] for name in expected if met[name] < 10} == {}
    assert met["syncs"] > 20_000


def _no_initial_recommendation(*arguments: Any, **named: Any) -> tuple[Recommendation, ...]:
    return remembered(*arguments, **named)[-1:]


def _as_if_unready_were_ready(pods: Any, **named: Any) -> Any:
    return group_pods(pods, cpu_initialization_s=0.0, **named)


def _without_outdated(events: Any, change: int, rules: Any, *, now_s: float) -> tuple[ScaleEvent, ...]:
    return (*events, ScaleEvent(now_s, change))


def _without_terminating(pods: Any) -> int:
    return sum(1 for pod in pods if pod.phase is Phase.RUNNING and pod.ready is True and not pod.terminating)


def _idle_when_negative(value_milli: int, *arguments: Any, **named: Any) -> Proposal:
    return average_proposal(max(0, value_milli), *arguments, **named)


MISTAKES: dict[str, tuple[Any, str, Any]] = {
    "a window of 299 s": (hpa_behavior, "DOWNSCALE_STABILIZATION_S", 299.0),
    "up to 5 pods a sync without behaviour": (hpa_behavior, "SCALE_UP_MINIMUM", 5),
    "a tolerance without its edges": (Tolerance, "holds", lambda own, ratio: 1 - own.down < ratio < 1 + own.up),
    "only the last recommendation": (hpa, "remembered", _no_initial_recommendation),
    "events never outdated": (hpa, "with_event", _without_outdated),
    "terminating pods not counted": (hpa_metrics, "running_and_ready", _without_terminating),
    "young pods counted": (hpa_metrics, "group_pods", _as_if_unready_were_ready),
    "a negative average taken for none": (hpa, "average_proposal", _idle_when_negative),
    "quantities rounded down": (hpa, "quantity_milli", lambda value: max(1, int(value * 1000))),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_would_be_noticed(answered: list[Answered], mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MISTAKES[mistake])
    assert any(first_difference(one) for one in answered)
