"""A request between `sent` and `finished`: what was predicted for it, to be compared with what came."""

from penstock.router.candidate import Candidate
from penstock.router.route_request import Choice


class Flight:
    """Made for every request; owned and changed by the router.

    Args:
        worker: the worker that answers.
        prefill: the worker that computes the prompt; often the same.
        turn: tells it from an earlier one of the same request.
        streams: whether its first token can be seen.
    """

    __slots__ = (
        "choice",
        "computed_s",
        "decode_factor",
        "expected",
        "factor",
        "first_token_s",
        "prefill",
        "sent_s",
        "step_s",
        "streams",
        "turn",
        "worker",
    )

    def __init__(
        self, choice: Choice, worker: Candidate, prefill: Candidate, *, sent_s: float, turn: int, streams: bool
    ) -> None:
        self.choice = choice
        self.turn = turn
        self.streams = streams
        self.worker = worker
        self.prefill = prefill
        self.sent_s = sent_s
        self.factor = prefill.prefill.factor  # with which its TTFT was predicted
        self.first_token_s = -1.0
        self.step_s = 0.0  # predicted when decoding began
        self.computed_s = 0.0  # the worker's count then
        self.decode_factor = 1.0  # with this factor
        self.expected: list[tuple[str, list[int]]] | None = None
