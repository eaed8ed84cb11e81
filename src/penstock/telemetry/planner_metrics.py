"""What a cluster's planner wants, loop by loop, for Prometheus: also of what it only advises.

A loop that was not heard from for a minute has no samples: it ended, and its last word is not the state of anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.messages.decision import Decision
from penstock.messages.observation import Observation

HEARD_S = 60.0  # a loop is told of an observation each second
_LABELS = ("namespace", "name", "component")


@dataclass(slots=True)
class _Pool:
    """One pool of one loop, as last heard of."""

    heard_s: float
    desired: int
    ready: int
    wanted: int | None = None
    decisions: dict[str, int] = field(default_factory=dict)


class PlannerMetrics(Collector):
    """All loops, in a registry of its own. Args: clock: seconds, of any origin."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pools: dict[tuple[str, str, str], _Pool] = {}
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def listener(self, namespace: str, name: str) -> "LoopMetrics":
        """What the loop of that name is to tell (`control.loop.Listener`)."""
        return LoopMetrics(self, namespace, name)

    def observed(self, key: tuple[str, str, str], desired: int, ready: int) -> None:
        """A pool was seen."""
        pool = self._pools.setdefault(key, _Pool(0.0, desired, ready))
        pool.heard_s, pool.desired, pool.ready = self._clock(), desired, ready

    def decided(self, key: tuple[str, str, str], wanted: int, limited_by: str) -> None:
        """A pool was decided. It was seen before."""
        pool = self._pools[key]
        pool.wanted = wanted
        pool.decisions[limited_by] = pool.decisions.get(limited_by, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """At a scrape."""
        since_s = self._clock() - HEARD_S
        self._pools = {key: pool for key, pool in self._pools.items() if pool.heard_s >= since_s}
        desired = GaugeMetricFamily("penstock_planner_desired_replicas", "Replicas by the scale.", labels=_LABELS)
        ready = GaugeMetricFamily("penstock_planner_ready_replicas", "Replicas that serve.", labels=_LABELS)
        wanted = GaugeMetricFamily(
            "penstock_planner_wanted_replicas", "Replicas that the planner wants, written or advised.", labels=_LABELS
        )
        decisions = CounterMetricFamily(
            "penstock_planner_decisions", "Decisions made, by what limited them.", labels=(*_LABELS, "limited_by")
        )
        for key, pool in self._pools.items():
            desired.add_metric(key, pool.desired)
            ready.add_metric(key, pool.ready)
            if pool.wanted is not None:
                wanted.add_metric(key, pool.wanted)
            for limited_by, count in dict(pool.decisions).items():
                decisions.add_metric((*key, limited_by), count)
        yield from (desired, ready, wanted, decisions)


class LoopMetrics:
    """One loop's listener."""

    def __init__(self, metrics: PlannerMetrics, namespace: str, name: str) -> None:
        self._metrics, self._namespace, self._name = metrics, namespace, name

    def observed(self, observation: Observation) -> None:
        """Take one look at the world."""
        for pool in observation.pools:
            self._metrics.observed((self._namespace, self._name, pool.component), pool.desired, pool.ready)

    def decided(self, decision: Decision) -> None:
        """Count one decision."""
        key = self._namespace, self._name, decision.component
        self._metrics.decided(key, decision.desired, str(decision.limited_by))
