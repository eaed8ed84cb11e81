"""Metrics that are missing, NaN or stale, from the text of a scrape to the decision: they never scale a pool down."""

from collections.abc import Callable

import pytest

from penstock.autoscale.policies import policy_for
from penstock.control import gateway_view, worker_view
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.pool_signals import pool_signals
from penstock.control.worker_view import WorkerView
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen
from penstock.messages.parse_spec import parse_spec
from penstock.telemetry.gateway_metrics import GatewayMetrics

SPEC = parse_spec(
    """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: nan}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components:
    - {name: worker, role: worker, autoscaling: {by: planner, min: 1, max: 4, coolInSeconds: 5, staleAfterSeconds: 10}}
""",
    source="test",
).spec
REPLICAS, FAULT_AT, UNTIL = 3, 60, 140
WORKER = "vllm:num_requests_running 1\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\n"
Fault = Callable[[str], str | None]


def nan(text: str) -> str:
    lines = (line if line.startswith("#") else f"{line.rpartition(' ')[0]} NaN" for line in text.splitlines())
    return "\n".join(lines)


def decisions(gateway_fault: Fault, worker_fault: Fault) -> list[Decision]:
    """A light load that one replica carries, before three; from FAULT_AT on, scrapes are as the fault makes them."""
    metrics, gateway = GatewayMetrics(slo_ttft_s=0.5, slo_itl_s=0.05), GatewayView(SPEC.slo)
    workers = [WorkerView(0) for _ in range(REPLICAS)]
    policy = policy_for(SPEC, SPEC.component("worker"))
    state, made = policy.initial_state(), []
    gateway.born(0)
    for second in range(1, UNTIL):
        for _ in range(2):
            metrics.received.inc()
            metrics.answered(200)
            metrics.time_to_first_token.observe(0.05)
            metrics.inter_token_latency.observe(0.01, 20)
            metrics.request_prompt_tokens.observe(500)
            metrics.request_output_tokens.observe(20)
        faulty = second >= FAULT_AT
        gateway.read(
            second, scraped(metrics.exposition().decode(), gateway_fault if faulty else str, gateway_view.WANTED)
        )
        for worker in workers:
            worker.read(second, scraped(WORKER, worker_fault if faulty else str, worker_view.WANTED))
        if second % policy.interval_s == 0 and second >= FAULT_AT:
            signals = pool_signals(workers, gateway.signals(second, policy.interval_s), lead_time_s=8, now_s=second)
            seen = PoolSeen(
                component="worker", desired=REPLICAS, starting=0, ready=REPLICAS, draining=0, signals=signals
            )
            decision, state = policy.decide(state, seen, now_s=second)
            made.append(decision)
    return made


def scraped(text: str, fault: Fault, wanted: frozenset[str]) -> Scrape:
    said = fault(text)
    return Scrape() if said is None else parse_exposition(said, wanted)


def test_without_a_fault_the_pool_scales_down() -> None:
    """Else the tests below would prove nothing."""
    assert decisions(str, str)[-1].desired < REPLICAS


@pytest.mark.parametrize("fault", [lambda text: None, nan, lambda text: "", lambda text: "\x00 garbage {"])
@pytest.mark.parametrize("where", ["gateway", "workers"])
def test_no_data_scales_nothing_down(where: str, fault: Fault) -> None:
    made = decisions(fault if where == "gateway" else str, fault if where == "workers" else str)
    late = [decision for decision in made if decision.time_s >= FAULT_AT + 20]  # older than staleAfterSeconds
    assert {decision.desired for decision in late} == {REPLICAS}
    assert {decision.limited_by for decision in late} <= {LimitedBy.MISSING_DATA, LimitedBy.STALE_DATA}
