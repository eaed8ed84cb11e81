"""What becomes of each request: told by `serving`, kept as counters that an autoscaler sees and as the run's summary.

Gaps between tokens are counted per burst, not per token. In the summary a request's gaps belong to the window in which
it arrived, as everywhere; that needs only how many it had and how many were late. Over the whole run a burst whose
steps grow counts as a few equal pieces, each within 1 % of its middle.
"""

from collections.abc import Callable

from penstock.engine.timeline import Gaps
from penstock.hardware.steptime import TICKS_PER_S
from penstock.messages.outcome import Ending, RequestOutcome
from penstock.messages.spec import SloSpec
from penstock.simulator.flight import Flight
from penstock.simulator.gap_counts import observe_gaps
from penstock.simulator.gateway_counters import GatewayCounters
from penstock.telemetry.summary import Summary

PIECE = 1.01  # last step over first, of one piece of a burst


class Records:
    """Counters and summary of one run.

    Args:
        tell: is given each request's outcome as it ends, if anybody wants to keep them.
    """

    def __init__(self, slo: SloSpec, *, tell: Callable[[RequestOutcome], None] | None = None) -> None:
        self.counters = GatewayCounters(slo)
        self.summary = Summary(slo)
        self._tell = tell

    def arrived(self, flight: Flight) -> None:
        """A request reached the gateway."""
        counters = self.counters
        counters.received += 1
        counters.in_flight += 1
        counters.isl.observe(flight.arrival.input_tokens)

    def first_token(self, flight: Flight) -> None:
        """Its first token passed the gateway."""
        self.counters.ttft.observe((flight.first_at - flight.at) / TICKS_PER_S)
        self.counters.output_tokens += 1

    def gaps(self, gaps: tuple[Gaps, ...]) -> None:
        """A burst of tokens passed the gateway."""
        observe_gaps(self.counters.itl, gaps)
        for first, growth, steps, sequences in gaps:
            self.counters.output_tokens += steps * sequences
            if steps == 1 or growth * (steps - 1) <= (PIECE - 1) * first:
                middle = first + growth * (steps - 1) / 2
                self.summary.gap(middle / TICKS_PER_S, steps * sequences)
            else:
                self._pieces(first, growth, steps, sequences)

    def completed(self, flight: Flight, at: int, gaps: int, late_gaps: int) -> None:
        """Its last token passed the gateway."""
        arrival, counters = flight.arrival, self.counters
        e2e_s = (at - flight.at) / TICKS_PER_S
        counters.in_flight -= 1
        counters.by_code["200"] += 1
        counters.duration.observe(e2e_s)
        counters.osl.observe(arrival.output_tokens)
        counters.prompt_tokens += arrival.input_tokens
        counters.cached_tokens += flight.cached
        self.summary.completed(
            arrival.arrival_s,
            ttft_s=(flight.first_at - flight.at) / TICKS_PER_S,
            e2e_s=e2e_s,
            gaps=gaps,
            gaps_within=gaps - late_gaps,
            prompt_tokens=arrival.input_tokens,
            cached_tokens=flight.cached,
            output_tokens=arrival.output_tokens,
        )
        if self._tell is not None:
            self._tell(_outcome(flight, Ending.COMPLETED, at, gaps))

    def retried(self) -> None:
        """It is tried once more, since a worker was lost."""
        self.counters.retries += 1

    def lost(self, flight: Flight, ending: Ending, at: int) -> None:
        """It was rejected, or failed."""
        self.counters.in_flight -= 1
        self.counters.by_code["503" if ending is Ending.REJECTED else "500"] += 1
        self.summary.lost(flight.arrival.arrival_s, ending)
        if self._tell is not None:
            self._tell(_outcome(flight, ending, at, 0))

    def _pieces(self, first: int, growth: int, steps: int, sequences: int) -> None:
        while steps:
            piece = min(steps, 1 + int((PIECE - 1) * first / growth))
            self.summary.gap((first + growth * (piece - 1) / 2) / TICKS_PER_S, piece * sequences)
            first += piece * growth
            steps -= piece


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
