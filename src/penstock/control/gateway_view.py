"""What the gateway's scrapes say: demand, prompt and output lengths, latencies, and counts since the start. Pure.

The windows: demand over the interval at which its pool is decided, so that a forecast averages independent samples
and a burst shows at once; latencies over 30 s, as a percentile needs a hundred requests to mean something; lengths and
hit ratio over 60 s, since a mix changes slowly. A gateway that is not heard from any more has no signals once its last
readings have left the window; until then their age says how old they are.

It does not know the pools: the gateway sees the demand on all of them. Names of metrics: `telemetry.gateway_metrics`.
"""

import math
import re
from collections.abc import Mapping

from penstock.control.exposition import Counts
from penstock.control.windows import Window
from penstock.messages.observation import Sample, Signal
from penstock.messages.spec import SloSpec
from penstock.telemetry.quantile import histogram_quantile, share_within

DEMAND_WINDOW_S = (2.0, 15.0)  # shorter, and it is noise; longer, and a burst is over before it is seen
_SLACK_S = 0.5  # scrapes come a second apart, more or less
LATENCY_WINDOW_S = 30.0
MIX_WINDOW_S = 60.0

PREFIX = "penstock_gateway_"
RECEIVED = PREFIX + "requests_received_total"
ANSWERED = PREFIX + "requests_total"
HELD = PREFIX + "held_requests"
IN_FLIGHT = PREFIX + "requests_in_flight"
RETRIES = PREFIX + "retries_total"
PROMPT_TOKENS = PREFIX + "prompt_tokens_total"
CACHED_TOKENS = PREFIX + "prompt_tokens_cached_total"
OUTPUT_TOKENS = PREFIX + "output_tokens_total"
TTFT = PREFIX + "time_to_first_token_seconds"
ITL = PREFIX + "inter_token_latency_seconds"
DURATION = PREFIX + "request_duration_seconds"
ISL = PREFIX + "request_prompt_tokens"
OSL = PREFIX + "request_output_tokens"

_COUNTERS = (RECEIVED, PROMPT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS, RETRIES)
HISTOGRAMS = (TTFT, ITL, DURATION, ISL, OSL)
_SUMS = tuple((name, f"{name}_sum") for name in HISTOGRAMS)
_HISTOGRAM_SERIES = (f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count"))
WANTED = frozenset((*_COUNTERS, ANSWERED, HELD, IN_FLIGHT, *_HISTOGRAM_SERIES))
_REJECTED = ("429", "503")
_LEFT = "499"  # the client hung up: neither refused nor failed by us, but not completed
_AT_FAULT = re.compile(r"4\d\d")  # of the client, or it hung up: no failure of ours, unless we had refused it


class GatewayView:
    """The gateway as its scrapes show it. Counts survive its restarts: they are sums of increases."""

    def __init__(self, slo: SloSpec) -> None:
        self._slo = slo
        self._counters: Window[str] = Window(MIX_WINDOW_S)
        self._codes: Window[str] = Window(MIX_WINDOW_S)
        self._histograms: dict[str, Window[float]] = {name: Window(MIX_WINDOW_S) for name in HISTOGRAMS}
        self._sums: Window[str] = Window(MIX_WINDOW_S)
        self._gauges: dict[str, tuple[float, float]] = {}  # value, when

    def born(self, at_s: float) -> None:
        """A gateway process begins: its counters start from nothing."""
        for counters in (self._counters, self._codes, self._sums):
            counters.born(at_s)
        for buckets in self._histograms.values():
            buckets.born(at_s)
        self._gauges = {}

    def read(self, at_s: float, scrape: Counts) -> None:
        """Take in one scrape; what it lacks stays unknown."""
        self._counters.read(at_s, _present({name: scrape.total(name) for name in _COUNTERS}))
        self._codes.read(at_s, scrape.by(ANSWERED, "code"))
        for name, window in self._histograms.items():
            window.read(at_s, scrape.buckets(name))
        self._sums.read(at_s, _present({name: scrape.total(series) for name, series in _SUMS}))
        for name in (HELD, IN_FLIGHT):
            value = scrape.total(name)
            if value is not None:
                self._gauges[name] = (value, at_s)

    def signals(self, now_s: float, interval_s: float) -> dict[Signal, Sample]:
        """What it says to a pool that is decided every `interval_s`; a signal is absent where it is silent."""
        found: dict[Signal, Sample | None] = {
            Signal.DEMAND: self._demand(now_s, interval_s),
            Signal.ISL: self._mean(ISL, now_s),
            Signal.ISL_P95: self._quantile(ISL, 0.95, now_s, MIX_WINDOW_S),
            Signal.OSL: self._mean(OSL, now_s),
            Signal.OSL_P95: self._quantile(OSL, 0.95, now_s, MIX_WINDOW_S),
            Signal.TTFT: self._quantile(TTFT, self._slo.percentile / 100, now_s, LATENCY_WINDOW_S),
            Signal.ITL: self._quantile(ITL, self._slo.percentile / 100, now_s, LATENCY_WINDOW_S),
            Signal.HIT_RATIO: self._hit_ratio(now_s),
        }
        if HELD in self._gauges:
            value, at_s = self._gauges[HELD]
            found[Signal.HELD] = Sample(value=value, age_s=max(0.0, now_s - at_s))
        return {signal: sample for signal, sample in found.items() if sample is not None}

    def totals(self) -> dict[str, float]:
        """Counts since the start, over all gateway processes, and what it holds now. Empty before the first scrape."""
        counts = self._counters.since_start
        if counts is None:
            return {}
        codes = self._codes.since_start or {}
        answered = math.fsum(codes.values())
        completed = math.fsum(count for code, count in codes.items() if code.startswith("2"))
        rejected = math.fsum(codes.get(code, 0.0) for code in _REJECTED)
        theirs = math.fsum(n for code, n in codes.items() if _AT_FAULT.fullmatch(code) and code not in _REJECTED)
        ttft, itl = self._since_start(TTFT), self._since_start(ITL)
        totals = {
            "requests_received": counts.get(RECEIVED, 0.0),
            "requests": answered,
            "completed": completed,
            "rejected": rejected,
            "client_left": codes.get(_LEFT, 0.0),
            "client_errors": theirs - codes.get(_LEFT, 0.0),
            "failed": answered - completed - rejected - theirs,
            "retries": counts.get(RETRIES, 0.0),
            "prompt_tokens": counts.get(PROMPT_TOKENS, 0.0),
            "prompt_tokens_cached": counts.get(CACHED_TOKENS, 0.0),
            "output_tokens": counts.get(OUTPUT_TOKENS, 0.0),
            "ttft_observed": ttft.get(math.inf, 0.0),
            "itl_observed": itl.get(math.inf, 0.0),
            "ttft_within": _within(self._slo.ttft_s, ttft),
            "itl_within": _within(self._slo.itl_s, itl),
        }
        for name, gauge in (("held", HELD), ("in_flight", IN_FLIGHT)):
            if gauge in self._gauges:
                totals[name] = self._gauges[gauge][0]
        return totals

    def histogram(self, name: str) -> tuple[dict[float, float], float]:
        """Cumulative counts by bound and the sum of values, since the start."""
        return self._since_start(name), (self._sums.since_start or {}).get(name, 0.0)

    def _since_start(self, name: str) -> dict[float, float]:
        return dict(self._histograms[name].since_start or {})

    def _demand(self, now_s: float, interval_s: float) -> Sample | None:
        least_s, most_s = DEMAND_WINDOW_S
        window_s = min(max(interval_s, least_s), most_s) + _SLACK_S
        increase = self._counters.increase(now_s, window_s)
        if increase is None or RECEIVED not in increase.by:
            return None
        return Sample(value=increase.by[RECEIVED] / increase.span_s, age_s=increase.age_s)

    def _quantile(self, name: str, quantile: float, now_s: float, window_s: float) -> Sample | None:
        increase = self._histograms[name].increase(now_s, window_s)
        value = histogram_quantile(quantile, increase.by) if increase else None
        return Sample(value=value, age_s=increase.age_s) if increase and value is not None else None

    def _mean(self, name: str, now_s: float) -> Sample | None:
        counts = self._histograms[name].increase(now_s, MIX_WINDOW_S)
        sums = self._sums.increase(now_s, MIX_WINDOW_S)
        count = counts.by.get(math.inf, 0.0) if counts else 0.0
        if not sums or not count > 0:
            return None
        return Sample(value=sums.by.get(name, 0.0) / count, age_s=sums.age_s)

    def _hit_ratio(self, now_s: float) -> Sample | None:
        increase = self._counters.increase(now_s, MIX_WINDOW_S)
        prompt = increase.by.get(PROMPT_TOKENS, 0.0) if increase else 0.0
        if increase is None or not prompt > 0:
            return None
        return Sample(value=min(1.0, increase.by.get(CACHED_TOKENS, 0.0) / prompt), age_s=increase.age_s)


def _within(bound: float, buckets: Mapping[float, float]) -> float:
    share = share_within(bound, buckets)
    return 0.0 if share is None else share * buckets[math.inf]


def _present(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
