"""What the loss of a worker means to the requests that it had: as `gateway.exchange` has it, to the same bounds.

A stream that has begun is cut, since it cannot be told again. Others are tried elsewhere; where only the prompt was
computed by the lost worker, the decode worker computes it itself.
"""

from penstock.hardware.steptime import TICKS_PER_S
from penstock.messages.outcome import Ending
from penstock.router.route_request import RouteRequest
from penstock.simulator.dispatch import Dispatch, full_blocks
from penstock.simulator.flight import Flight
from penstock.simulator.records import Records
from penstock.simulator.virtual_worker import VirtualWorker


class Losses:
    """Losses of workers, for one run.

    Args:
        records: is told of what is tried once more.
    """

    def __init__(self, dispatch: Dispatch, records: Records) -> None:
        self._dispatch = dispatch
        self._records = records

    def lost(self, worker: VirtualWorker, now: int) -> None:
        """It is gone, with all that it held; neither router nor cluster knows it any more."""
        for flight in tuple(worker.requests.values()):
            self._without(flight, worker, now)

    def _without(self, flight: Flight, lost: VirtualWorker, now: int) -> None:
        """Its worker, or the one that computes its prompt, is gone."""
        dispatch = self._dispatch
        if flight.first_at >= 0:
            dispatch.lose(flight, Ending.FAILED, now)  # its stream is cut
        elif flight.prefill is lost:
            decode = flight.worker
            if flight.transfer is not None and decode is not None and dispatch.has(decode):
                self._alone(flight, decode, now)
            else:
                dispatch.try_another(flight, lost, now, delivered=None)
        elif flight.prefill is None or flight.transfer is not None:
            dispatch.try_another(flight, lost, now, delivered=True)
        # else its prompt is computed elsewhere; that the decode worker is gone shows when it is to take over

    def _alone(self, flight: Flight, decode: VirtualWorker, now: int) -> None:
        """Its KV cannot be read: the decode worker computes the prompt itself."""
        assert flight.choice is not None
        flight.prefill = flight.transfer = None
        flight.choice = flight.choice._replace(prefill_worker=None, hit_tokens=0)
        arrival, hashes = flight.arrival, full_blocks(flight.arrival)
        request = RouteRequest(id=flight.number, prompt_tokens=arrival.input_tokens, block_hashes=hashes)
        self._dispatch.router.sent(request, flight.choice, now / TICKS_PER_S)
        self._records.retried()
        self._dispatch.give(flight, decode, hashes, now)
