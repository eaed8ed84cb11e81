"""The planner's figures from pods and through Prometheus' own engine: the same demand, the same count."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from promql_series import BEGIN_MS
from promql_store import Given, Query, Store, Vector, asked

from go_program import go_program
from penstock.autoscale.policies import policy_for
from penstock.control import gateway_view, worker_view
from penstock.control.cluster_pods import ClusterPod
from penstock.control.exposition import parse_exposition
from penstock.control.gateway_view import GatewayView
from penstock.control.pool_signals import pool_signals
from penstock.control.prometheus_metrics import ASK_EVERY_S, PrometheusMetrics
from penstock.control.worker_view import WorkerView
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.parse_spec import parse_spec
from penstock.messages.worker import WorkerState
from penstock.telemetry.gateway_metrics import GatewayMetrics
from penstock.telemetry.vllm_metrics import EngineGauges, VllmMetrics

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(1800)]  # the first build takes minutes

SPEC = parse_spec(
    """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: d}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components:
    - {name: frontend, role: frontend}
    - {name: worker, role: worker, autoscaling: {by: planner, min: 0, max: 40}}
""",
    source="test",
).spec
KEY = ("ns", "d")
LABELS = {"namespace": "ns", "penstock_dev_deployment": "d"}
WORKERS, SCRAPE_S, LEAD_TIME_S = 2, 15, 60.0
FIRST_S, LAST_S = 240, 300  # decisions; before that the demand is there already


class Service:
    """A gateway and its workers under a steady demand, second by second."""

    def __init__(self, per_s: int, isl: int, osl: int) -> None:
        self.per_s, self.isl, self.osl = per_s, isl, osl
        self.gateway = GatewayMetrics(slo_ttft_s=0.5, slo_itl_s=0.05)
        gauges = EngineGauges(running=per_s, waiting=0, deferred=0, kv_usage=0.1)
        self.workers = [
            VllmMetrics(model_name="m", num_gpu_blocks=9, block_size=16, max_model_len=9, gauges=lambda: gauges)
            for _ in range(WORKERS)
        ]

    def second(self) -> None:
        for _ in range(self.per_s):
            self.gateway.received.inc()
            self.gateway.request_prompt_tokens.observe(self.isl)
            self.gateway.request_output_tokens.observe(self.osl)
            self.gateway.prompt_tokens.inc(self.isl)
            self.gateway.time_to_first_token.observe(0.11)
            self.gateway.inter_token_latency.observe(0.012, self.osl)

        for worker in self.workers:
            worker.prefix_queries += self.per_s * self.isl
            worker.prefix_hits += self.per_s * self.isl // 4

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """Process, component and what it says."""
        yield "gateway", "frontend", self.gateway.exposition().decode()
        for number, worker in enumerate(self.workers):
            yield f"worker-{number}", "worker", worker.exposition().decode()


class Answers:
    """Answers that are known beforehand; without any, it notes what is asked."""

    def __init__(self, known: dict[str, Vector] | None = None) -> None:
        self.known, self.queries = known, []

    async def number(self, query: str) -> float | None:
        self.queries.append(query)
        if self.known is None:
            return 9.0
        values = list(self.known[query].values())
        assert len(values) <= 1, query
        return values[0] if values and math.isfinite(values[0]) else None


def pod(component: str, number: int) -> ClusterPod:
    name = f"{component}-{number}"
    return ClusterPod(
        name=name, uid=name, component=component, state=WorkerState.READY, url="http://10.0.0.1:8000",
        age_s=900.0, lead_time_s=LEAD_TIME_S, waited=False,
    )  # fmt: skip


PODS = [pod("worker", number) for number in range(WORKERS)]


def both_ways(binary: Path, service: Service) -> Iterator[tuple[float, dict[Signal, Sample], dict[Signal, Sample]]]:
    """The signals at each decision: of the pods, scraped each second; through Prometheus, which scrapes each 15 s."""
    view, views = GatewayView(SPEC.slo), [WorkerView(0.0) for _ in range(WORKERS)]
    stored: dict[Any, Given] = {}
    of_pods = {}
    for second in range(LAST_S + 1):
        service.second()
        texts = list(service.texts())
        scrapes = [parse_exposition(text, gateway_view.WANTED | worker_view.WANTED) for _, _, text in texts]
        view.read(float(second), scrapes[0])
        for one, scrape in zip(views, scrapes[1:], strict=True):
            one.read(float(second), scrape)
        if second % SCRAPE_S == 7:
            for (process, component, _), scrape in zip(texts, scrapes, strict=True):
                for series in scrape.series:
                    labels = {"__name__": series.name, "instance": process, "penstock_dev_component": component}
                    labels |= LABELS | dict(series.labels)
                    one = stored.setdefault(frozenset(labels.items()), Given(labels=labels, times_ms=[], values=[]))
                    one.times_ms.append(BEGIN_MS + 1000 * second)
                    one.values.append(series.value)
        if second >= FIRST_S and second % ASK_EVERY_S == 0:
            signals = view.signals(float(second), 5.0)
            of_pods[second] = pool_signals(views, signals, lead_time_s=LEAD_TIME_S, now_s=float(second))

    def look(server: Any, now_s: float) -> dict[Signal, Sample]:
        metrics = PrometheusMetrics(server, KEY, SPEC)
        asyncio.run(metrics.look([pod("frontend", 0)], PODS, now_s))
        return metrics.signals("worker", PODS, interval_s=5.0, lead_time_s=LEAD_TIME_S, now_s=now_s)

    noted = Answers()
    look(noted, 0.0)
    queries = [Query(expr, BEGIN_MS + 1000 * second) for second in of_pods for expr in noted.queries]
    answers = iter(asked(binary, [Store(series=list(stored.values()))], [queries])[0])
    for second, signals in of_pods.items():
        known = {expr: next(answers) for expr in noted.queries}
        yield float(second), signals, look(Answers(known), float(second))


@pytest.mark.parametrize(("per_s", "isl", "osl"), [(1, 300, 20), (7, 2000, 200), (40, 500, 100)])
def test_the_same_demand_seen_both_ways_gives_the_same_count(per_s: int, isl: int, osl: int) -> None:
    binary = go_program(Path(__file__).parent / "go" / "prometheus")
    policy = policy_for(SPEC, SPEC.component("worker"))
    states, counts = [policy.initial_state(), policy.initial_state()], []
    for now_s, *ways in both_ways(binary, Service(per_s, isl, osl)):
        direct, through = ways
        assert through.keys() == direct.keys()
        for signal in direct:
            assert through[signal].value == pytest.approx(direct[signal].value, rel=0.01, abs=1e-9), signal
            assert 0 <= through[signal].age_s <= SCRAPE_S
        made = []
        for number, signals in enumerate(ways):
            seen = PoolSeen(component="worker", desired=WORKERS, starting=0, ready=WORKERS, draining=0, signals=signals)
            decision, states[number] = policy.decide(states[number], seen, now_s=now_s)
            made.append(decision.desired)
        counts.append(made)
    assert len(counts) > 10
    assert all(direct == through for direct, through in counts), counts
