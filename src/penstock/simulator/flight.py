"""A request of the virtual cluster, from its arrival to its end."""

from typing import TYPE_CHECKING

from penstock.gateway.tries import Tries
from penstock.router.route_request import Choice
from penstock.workload.arrival import Arrival

if TYPE_CHECKING:
    from penstock.simulator.virtual_worker import VirtualWorker


class Flight:
    """One request under way. Instants in ticks; `first_at` is -1 before its first token.

    Args:
        worker: answers it; None while it is held.
        prefill: computes its prompt, or computed it and its KV is on its way; else None.
        transfer: names the way of its KV that is under way.
        tries: once a worker was lost under it.
        steps, late_steps: its worker's counters at its first token (`virtual_worker`); while it is `interrupted`, which
            is preempted after that, its gaps so far and those of them that were late.
    """

    __slots__ = (
        "arrival",
        "at",
        "cached",
        "choice",
        "first_at",
        "interrupted",
        "late_steps",
        "number",
        "prefill",
        "steps",
        "transfer",
        "tries",
        "worker",
    )

    def __init__(self, number: int, at: int, arrival: Arrival) -> None:
        self.number = number
        self.at = at
        self.arrival = arrival
        self.first_at = -1
        self.cached = 0  # prompt tokens that an engine found in its cache
        self.steps = self.late_steps = 0
        self.interrupted = False
        self.choice: Choice | None = None
        self.worker: VirtualWorker | None = None
        self.prefill: VirtualWorker | None = None
        self.transfer: object | None = None
        self.tries: Tries | None = None
