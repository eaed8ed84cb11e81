"""What becomes of each request: told by `serving`, kept as counters that an autoscaler sees and as the run's summary.

Gaps between tokens are counted per burst, not per token. In the summary a request's gaps belong to the window in which
it arrived, as everywhere; that needs only how many it had and how many were late. Over the whole run a burst whose
steps grow counts as a few equal pieces, each within 1 % of its middle.
"""

from collections.abc import Callable
from typing import Final

from penstock.engine.timeline import Gaps
from penstock.hardware.steptime import TICKS_PER_S
from penstock.messages.outcome import Ending, RequestOutcome
from penstock.messages.spec import SloSpec
from penstock.simulator.flight import Flight
from penstock.simulator.gap_counts import observe_gaps
from penstock.simulator.gateway_counters import GatewayCounters
from penstock.telemetry.summary import Completed, Summary

PIECE: Final = 1.01  # last step over first, of one piece of a burst
_BATCH: Final = 5000  # requests after which what was noted is counted, at the latest


class Records:
    """Counters and summary of one run. What happens is noted, and counted in one go when somebody reads.

    Args:
        tell: is given each request's outcome as it ends, if anybody wants to keep them.
    """

    def __init__(self, slo: SloSpec, *, tell: Callable[[RequestOutcome], None] | None = None) -> None:
        self._counters = GatewayCounters(slo)
        self._summary = Summary(slo)
        self._tell = tell
        self._arrived: list[int] = []  # prompt tokens
        self._ttfts: list[float] = []
        self._gaps: list[Gaps] = []
        self._completed: list[tuple[Flight, int, int, int]] = []  # end, gaps, late gaps
        self.gaps = self._gaps.extend  # called with the gaps of each burst of tokens that passed the gateway

    @property
    def counters(self) -> GatewayCounters:
        """What the gateway counted so far."""
        self._count()
        return self._counters

    @property
    def summary(self) -> Summary:
        """The summary so far."""
        self._count()
        return self._summary

    def arrived(self, flight: Flight) -> None:
        """A request reached the gateway."""
        self._arrived.append(flight.arrival.input_tokens)
        if len(self._arrived) >= _BATCH:
            self._count()

    def first_token(self, flight: Flight) -> None:
        """Its first token passed the gateway."""
        self._ttfts.append((flight.first_at - flight.at) / TICKS_PER_S)

    def completed(self, flight: Flight, at: int, gaps: int, late_gaps: int) -> None:
        """Its last token passed the gateway."""
        self._completed.append((flight, at, gaps, late_gaps))
        if self._tell is not None:
            self._tell(_outcome(flight, Ending.COMPLETED, at, gaps))

    def retried(self) -> None:
        """It is tried once more, since a worker was lost."""
        self._counters.retries += 1

    def lost(self, flight: Flight, ending: Ending, at: int) -> None:
        """It was rejected, or failed."""
        self._counters.in_flight -= 1
        self._counters.by_code["503" if ending is Ending.REJECTED else "500"] += 1
        self._summary.lost(flight.arrival.arrival_s, ending)
        if self._tell is not None:
            self._tell(_outcome(flight, ending, at, 0))

    def _count(self) -> None:
        """Count what was noted, in the order in which it came."""
        counters, done = self._counters, _columns(self._completed)
        counters.received += len(self._arrived)
        counters.in_flight += len(self._arrived) - len(self._completed)
        counters.by_code["200"] += len(self._completed)
        self._completed.clear()
        counters.isl.observe_each(self._arrived)
        self._arrived.clear()
        counters.ttft.observe_each(self._ttfts)
        counters.output_tokens += len(self._ttfts)
        self._ttfts.clear()
        observe_gaps(counters.itl, self._gaps)
        self._count_gaps()
        self._gaps.clear()
        counters.duration.observe_each([e2e_s for e2e_s in done.e2e_s if e2e_s is not None])
        counters.osl.observe_each(done.output_tokens)
        counters.prompt_tokens += sum(done.prompt_tokens)
        counters.cached_tokens += sum(done.cached_tokens)
        self._summary.completed(done)

    def _count_gaps(self) -> None:
        output_tokens = 0
        pieces: list[tuple[float, int]] = []
        note = pieces.append
        for first, growth, steps, sequences in self._gaps:
            tokens = steps * sequences
            output_tokens += tokens
            span = growth * (steps - 1)
            if span <= (PIECE - 1) * first:
                note(((first + span / 2) / TICKS_PER_S, tokens))
                continue
            while steps:
                piece = min(steps, 1 + int((PIECE - 1) * first / growth))
                note(((first + growth * (piece - 1) / 2) / TICKS_PER_S, piece * sequences))
                first += piece * growth
                steps -= piece
        self._counters.output_tokens += output_tokens
        self._summary.gaps(pieces)


def _columns(done: list[tuple[Flight, int, int, int]]) -> Completed:
    """What the summary is told of requests that ended."""
    arrivals = [flight.arrival for flight, _, _, _ in done]
    return Completed(
        intended_s=[arrival.arrival_s for arrival in arrivals],
        ttft_s=[(flight.first_at - flight.at) / TICKS_PER_S for flight, _, _, _ in done],
        e2e_s=[(at - flight.at) / TICKS_PER_S for flight, at, _, _ in done],
        gaps=[gaps for _, _, gaps, _ in done],
        gaps_within=[gaps - late for _, _, gaps, late in done],
        prompt_tokens=[arrival.input_tokens for arrival in arrivals],
        cached_tokens=[flight.cached for flight, _, _, _ in done],
        output_tokens=[arrival.output_tokens for arrival in arrivals],
    )


def _outcome(flight: Flight, ending: Ending, at: int, gaps: int) -> RequestOutcome:
    arrival = flight.arrival
    ttft_s = (flight.first_at - flight.at) / TICKS_PER_S if flight.first_at >= 0 else None
    mean_s = (at - flight.first_at) / TICKS_PER_S / gaps if gaps else 0.0
    return RequestOutcome(
        id=str(flight.number),
        intended_s=arrival.arrival_s,
        sent_s=arrival.arrival_s,
        ending=ending,
        status={Ending.COMPLETED: 200, Ending.REJECTED: 503}.get(ending, 500),
        ttft_s=ttft_s,
        e2e_s=(at - flight.at) / TICKS_PER_S if ending is Ending.COMPLETED else None,
        itl_s=((mean_s, gaps),) if gaps else (),
        prompt_tokens=arrival.input_tokens,
        prompt_cached_tokens=flight.cached,
        output_tokens=arrival.output_tokens if ending is Ending.COMPLETED else 0,
    )
