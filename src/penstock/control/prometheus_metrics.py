"""A deployment's figures as a Prometheus has them (`pod_metrics.Metrics`), by the queries of `telemetry.queries`.

They say the same as the pods do, later: a rate needs some scrapes, so its window is longer than theirs. What a planner
must never take for little stays as it is here too:

- A value is as old as the oldest scrape in it, and goes on growing old while Prometheus does not answer.
- A sum that lacks a pod that is ready is no sum: what was known before stays, and grows old. (A gateway that has just
  come is not scraped yet; a pod whose scrapes fail is silent, not idle.)
- What Prometheus does not know, or NaN, is absent.

It is asked every few seconds, all queries at once: there is nothing new between two scrapes.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from penstock.control import gateway_view, worker_view
from penstock.control.cluster_pods import ClusterPod
from penstock.control.pod_metrics import is_serving
from penstock.control.prometheus import Prometheus, PrometheusTrouble
from penstock.kubernetes.mirror import Key
from penstock.messages.observation import Sample, Signal
from penstock.messages.spec import DeploymentBody
from penstock.telemetry.queries import age_of, count_of, query, selectors

log = logging.getLogger(__name__)

ASK_EVERY_S = 5.0
WINDOW_S = 60.0  # four scrapes of 15 s, as the operator's PodMonitors have it
_AT_GATEWAY = (
    Signal.DEMAND,
    Signal.ISL,
    Signal.ISL_P95,
    Signal.OSL,
    Signal.OSL_P95,
    Signal.TTFT,
    Signal.ITL,
    Signal.HIT_RATIO,
    Signal.HELD,
)
_AT_ENGINES = (Signal.QUEUE, Signal.RUNNING, Signal.KV_USAGE, Signal.HIT_RATIO)

_Read = dict[Signal, tuple[float, float]]  # value, and the instant that it is of


class PrometheusMetrics:
    """One deployment's. Args: key: its namespace and name. window_s: of rates; at least four scrapes."""

    def __init__(self, server: Prometheus, key: Key, spec: DeploymentBody, *, window_s: float = WINDOW_S) -> None:
        self._server = server
        self._asked_s: float | None = None
        self._trouble = ""
        percentile, window = spec.slo.percentile, f"{round(1000 * window_s)}ms"

        def queries(signals: Sequence[Signal], component: str, *, at_gateway: bool = False) -> dict[Signal, str]:
            found = {
                signal: query(
                    signal,
                    namespace=key[0],
                    deployment=key[1],
                    component=component,
                    percentile=percentile,
                    window=window,
                    at_gateway=at_gateway,
                )
                for signal in signals
            }
            return {signal: text for signal, text in found.items() if text is not None}

        names = [pool.name for pool in spec.pools]
        chosen = {name: selectors(namespace=key[0], deployment=key[1], component=name) for name in names}
        self._gateway = _Group(
            gateway_view.RECEIVED + chosen[names[0]][0], queries(_AT_GATEWAY, names[0], at_gateway=True)
        )
        self._engines = {
            name: _Group(worker_view.RUNNING + engine, queries(_AT_ENGINES, name))
            for name, (_, engine) in chosen.items()
        }

    async def look(self, gateways: Sequence[ClusterPod], workers: Sequence[ClusterPod], now_s: float) -> None:
        if self._asked_s is not None and now_s - self._asked_s < ASK_EVERY_S:
            return
        self._asked_s = now_s
        expected = {name: sum(pod.component == name for pod in workers if is_serving(pod)) for name in self._engines}
        looks = [self._gateway.ask(self._server, sum(map(is_serving, gateways)), now_s)]
        looks += [group.ask(self._server, expected[name], now_s) for name, group in self._engines.items()]
        said = [str(one) for one in await asyncio.gather(*looks, return_exceptions=True) if one is not None]
        trouble = said[0] if said else ""
        if trouble and trouble != self._trouble:
            log.warning("asking Prometheus: %s; what was known grows old", trouble)
        self._trouble = trouble

    def signals(
        self, component: str, ready: Sequence[ClusterPod], *, interval_s: float, lead_time_s: float, now_s: float
    ) -> dict[Signal, Sample]:
        read = dict(self._gateway.read)
        if ready:
            read |= self._engines[component].read
        found = {signal: Sample(value=value, age_s=max(0.0, now_s - at_s)) for signal, (value, at_s) in read.items()}
        if not ready:  # without engines nothing is inside any
            found |= {Signal.QUEUE: Sample(value=0.0), Signal.RUNNING: Sample(value=0.0)}
        queue, running = found.get(Signal.QUEUE), found.get(Signal.RUNNING)
        if queue and running:
            age_s = max(queue.age_s, running.age_s)
            found[Signal.IN_FLIGHT] = Sample(value=queue.value + running.value, age_s=age_s)
        found[Signal.LEAD_TIME] = Sample(value=lead_time_s)
        return found

    def gauge(self, pod: ClusterPod, name: str) -> float:
        return 0.0  # a pool's are asked, not each pod's

    def totals(self) -> Mapping[str, float]:
        return {}


class _Group:
    """Series of the same processes. Args: witness: a series that each of them has."""

    def __init__(self, witness: str, queries: Mapping[Signal, str]) -> None:
        self._witness, self._queries = witness, queries
        self.read: _Read = {}

    async def ask(self, server: Prometheus, expected: int, now_s: float) -> None:
        """Ask for all of it. Raises: PrometheusTrouble; what was read then stays."""
        asked = (count_of(self._witness), age_of(self._witness), *self._queries.values())
        answers = await asyncio.gather(*map(server.number, asked), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        count, age_s, *values = (answer for answer in answers if not isinstance(answer, BaseException))
        if count is None or age_s is None:
            self.read = {}  # it knows nothing of them
            return
        if count < expected:
            raise PrometheusTrouble(f"{count:g} of {expected} ready pods have {self._witness}")
        at_s = now_s - max(0.0, age_s)
        found = zip(self._queries, values, strict=True)
        self.read = {signal: (value, at_s) for signal, value in found if value is not None}
