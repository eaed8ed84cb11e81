"""The control loop's own metrics, on the web port's `/metrics`. A Listener; it computes nothing, it only tells.

Counters of decisions grow here; hours, dollars and the attainment are read from whoever keeps them at the moment of a
scrape, so they cannot differ from the page. What is not known yet has no sample.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.spec import SloSpec
from penstock.telemetry.attainment import Attainment
from penstock.telemetry.feed import Costs
from penstock.telemetry.ledger import STATES


class ControlMetrics:
    """All metrics of one control loop, in a registry of its own.

    Args:
        costs: what was spent so far; None while nothing is known.
        errors: failed steps of the loop, by step.
        deaths: worker processes that died unasked, by component.
    """

    def __init__(
        self,
        slo: SloSpec,
        *,
        costs: Callable[[], Costs | None],
        errors: Mapping[str, int],
        deaths: Callable[[], Mapping[str, int]],
    ) -> None:
        self.registry = CollectorRegistry()
        self._desired = Gauge(
            "penstock_desired_replicas", "Replicas that the scale asks for.", ["component"], registry=self.registry
        )
        self._ready = Gauge("penstock_ready_replicas", "Replicas that serve.", ["component"], registry=self.registry)
        self._decisions = Counter(
            "penstock_decisions", "Decisions made.", ["policy", "limited_by"], registry=self.registry
        )
        self._attainment = Attainment(slo)
        self._costs, self._errors, self._deaths = costs, errors, deaths
        self.registry.register(_AtScrape(self))

    def observed(self, observation: Observation) -> None:
        """Take one look at the world."""
        self._attainment.seen(observation.time_s, observation.totals)
        for pool in observation.pools:
            self._desired.labels(pool.component).set(pool.desired)
            self._ready.labels(pool.component).set(pool.ready)

    def decided(self, decision: Decision) -> None:
        """Count one decision."""
        self._decisions.labels(decision.policy, str(decision.limited_by)).inc()

    def at_scrape(self) -> Iterator[Metric]:
        """What others keep."""
        hours = CounterMetricFamily("penstock_gpu_hours", "GPU-hours paid for, by state.", labels=["state"])
        dollars = CounterMetricFamily("penstock_cost_usd", "US dollars spent on GPUs.")
        costs = self._costs()
        if costs is not None:
            for state in STATES:
                hours.add_metric([state], getattr(costs.gpu_hours, state))
            dollars.add_metric([], costs.spent_usd)
        yield hours
        yield dollars
        attained = GaugeMetricFamily(
            "penstock_slo_attainment_ratio", "Windows of the last hour that met the targets, over those with a request."
        )
        ratio = self._attainment.now().ratio
        if ratio is not None:
            attained.add_metric([], ratio)
        yield attained
        errors = CounterMetricFamily(
            "penstock_control_errors", "Steps of the control loop that failed and were left behind.", labels=["step"]
        )
        for step, count in self._errors.items():
            errors.add_metric([step], count)
        yield errors
        deaths = CounterMetricFamily(
            "penstock_worker_deaths", "Worker processes that died without being asked to.", labels=["component"]
        )
        for component, count in self._deaths().items():
            deaths.add_metric([component], count)
        yield deaths


class _AtScrape(Collector):
    def __init__(self, metrics: ControlMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.at_scrape()
