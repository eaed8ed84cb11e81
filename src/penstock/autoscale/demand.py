"""What a pool's signals say, and which of them may be trusted.

No data is not zero. A signal that the planner reads for this kind of pool and that is missing or older than the spec's
limit blocks every scale-in; what it last said about lengths and hits is kept, so that nothing scales out for a
scrape that failed either. Signals that can only exist when requests come (lengths, latencies) are not missed
while none come, and one that this world never gave is not waited for, but for those without which nothing can be known.

It decides no count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from penstock.autoscale.arrivals import Mix
from penstock.messages.decision import LimitedBy
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.worker import Role

# Before any request was seen: a chat of some length. Only ever scales out: unknown lengths block the way in.
UNKNOWN_MIX = Mix(isl=1000, isl_p95=3000, osl=200, osl_p95=600)
# A p95 that was never given: nearly the widest that a lognormal can have for its mean.
ASSUMED_P95_OVER_MEAN = 3.0
# Lengths and latencies are due only if at least this many requests came within the staleness limit.
EXPECTED_REQUESTS = 5

_LENGTHS = (Signal.ISL, Signal.OSL)
_SPREADS = (Signal.ISL_P95, Signal.OSL_P95, Signal.HIT_RATIO)
_READ = {
    Role.WORKER: (Signal.DEMAND, Signal.QUEUE, Signal.HELD, Signal.TTFT, Signal.ITL, Signal.KV_USAGE, Signal.IN_FLIGHT),
    Role.PREFILL: (Signal.DEMAND, Signal.QUEUE, Signal.HELD, Signal.TTFT, Signal.IN_FLIGHT),
    Role.DECODE: (Signal.DEMAND, Signal.QUEUE, Signal.HELD, Signal.ITL, Signal.KV_USAGE, Signal.IN_FLIGHT),
}
_LATENCIES = (Signal.TTFT, Signal.ITL)
_OF_REQUESTS = (*_LATENCIES, *_LENGTHS, *_SPREADS)
_NEEDS_WORKERS = (Signal.QUEUE, Signal.KV_USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A pool's signals, sorted out. Values are None where nothing trustworthy was seen.

    Args:
        mix: the newest known, which may be older than this observation.
        known: every signal that this world ever gave.
        blocked: why nothing may scale in now; None if nothing speaks against it. `blockers` names the signals.
    """

    rate: float | None
    mix: Mix | None
    known: frozenset[Signal]
    queue: float | None
    held: float | None
    in_flight: float | None
    running: float | None
    ttft_s: float | None
    itl_s: float | None
    kv_usage: float | None
    lead_time_s: float | None
    blocked: LimitedBy | None
    blockers: tuple[Signal, ...]

    @property
    def backlog(self) -> float:
        """Requests that wait, as far as is known."""
        return (self.queue or 0.0) + (self.held or 0.0)

    @property
    def silent(self) -> bool:
        """Whether it is certain that nobody wants anything now."""
        return self.rate == 0 and not self.backlog and not self.in_flight


def read(seen: PoolSeen, role: Role, *, mix: Mix | None, known: frozenset[Signal], stale_after_s: float) -> Reading:
    """Sort out what was seen, with what was known before."""
    known |= frozenset(seen.signals)
    fresh = {signal: sample for signal, sample in seen.signals.items() if sample.age_s <= stale_after_s}
    rate = _value(fresh, Signal.DEMAND)
    blockers = [
        signal
        for signal in (*_READ[role], *_LENGTHS, *_SPREADS)
        if signal not in fresh and _due(signal, seen, rate, known)
    ]
    if rate and mix is not None and stale_after_s * rate < EXPECTED_REQUESTS:
        blockers = [signal for signal in blockers if signal not in _OF_REQUESTS]
    blocked = None
    if blockers:
        stale = all(signal in seen.signals for signal in blockers)
        blocked = LimitedBy.STALE_DATA if stale else LimitedBy.MISSING_DATA
    return Reading(
        rate=rate,
        mix=_mix(fresh, mix),
        known=known,
        queue=_value(fresh, Signal.QUEUE),
        held=_value(fresh, Signal.HELD),
        in_flight=_value(fresh, Signal.IN_FLIGHT),
        running=_value(fresh, Signal.RUNNING),
        ttft_s=_value(fresh, Signal.TTFT),
        itl_s=_value(fresh, Signal.ITL),
        kv_usage=_value(fresh, Signal.KV_USAGE),
        # A start-up time is a property of the world, not of the moment: an old one is the best there is.
        lead_time_s=_value(seen.signals, Signal.LEAD_TIME),
        blocked=blocked,
        blockers=tuple(blockers),
    )


def _due(signal: Signal, seen: PoolSeen, rate: float | None, known: frozenset[Signal]) -> bool:
    """Whether this signal ought to be there."""
    if signal is Signal.DEMAND:
        return True
    if signal in _NEEDS_WORKERS and seen.ready == 0:
        return False
    if signal in _OF_REQUESTS and rate == 0:
        return False
    if signal in _LATENCIES and seen.ready == 0:
        return False
    if signal in (Signal.QUEUE, *_LENGTHS):
        return True
    return signal in known


def _mix(fresh: Mapping[Signal, Sample], before: Mix | None) -> Mix | None:
    """The newest lengths and hits, each from what is fresh or else from before."""
    isl, osl = _value(fresh, Signal.ISL), _value(fresh, Signal.OSL)
    if before is None:
        if isl is None and osl is None:
            return None
        before = UNKNOWN_MIX
        if isl is not None:
            before = replace(before, isl=isl, isl_p95=ASSUMED_P95_OVER_MEAN * isl)
        if osl is not None:
            before = replace(before, osl=osl, osl_p95=ASSUMED_P95_OVER_MEAN * osl)
    isl_wide, osl_wide = before.isl_p95 / before.isl, before.osl_p95 / before.osl
    isl, osl = max(isl or before.isl, 1.0), max(osl or before.osl, 1.0)
    hit_ratio = _value(fresh, Signal.HIT_RATIO)
    return Mix(
        isl=isl,
        isl_p95=max(_value(fresh, Signal.ISL_P95) or isl * isl_wide, isl),
        osl=osl,
        osl_p95=max(_value(fresh, Signal.OSL_P95) or osl * osl_wide, osl),
        hit_ratio=before.hit_ratio if hit_ratio is None else min(max(hit_ratio, 0.0), 1.0),
    )


def _value(signals: Mapping[Signal, Sample], signal: Signal) -> float | None:
    sample = signals.get(signal)
    return None if sample is None else max(0.0, sample.value)
