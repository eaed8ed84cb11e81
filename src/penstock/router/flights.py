"""Requests between `sent` and `finished`: what was predicted of each, and what is learned when it comes true or not.

Each weighs on its worker's expected load, and its blocks are expected in the prefix index, until they are published or
it fails. A first token that nobody sees (an answer that does not stream) is taken to come when it was predicted.

Nothing grows without bound: requests whose end is never told are dropped after a time, and the oldest beyond
`MAX_FLIGHTS`.
"""

import heapq
from collections import deque
from typing import Final

from penstock.router.candidate import Candidate, Weights
from penstock.router.expected_load import Task
from penstock.router.prefix_index import PrefixIndex
from penstock.router.route_request import Choice, RequestId, RouteRequest

MAX_FLIGHTS: Final = 200_000  # about 200 MB with prompts of 32 blocks; far beyond what engines hold
CONFIRM_WITHIN_S: Final = 5.0  # KV events follow the step in milliseconds; a replay after a gap takes longer
OUTPUT_GAIN: Final = 0.02  # the mean output follows over some fifty requests
ITL_NOISE_S: Final = 0.001  # a scheduler's slice, spread over the tokens of a request
MIN_OUTPUT_FOR_ITL: Final = 8  # below, the mean ITL of a request says little


class Flight(Task):
    """One request under way, and at once what the worker that computes its prompt has to do.

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
        "step_s",
        "streams",
        "turn",
        "worker",
    )

    def __init__(
        self,
        request: RouteRequest,
        choice: Choice,
        worker: Candidate,
        prefill: Candidate,
        sent_s: float,
        turn: int,
        prefill_tokens: int,
        work_s: float,
        kv_tokens: float,
    ) -> None:
        self.id = request.id
        self.sent_s = sent_s
        self.prefill_tokens = prefill_tokens
        self.work_s = work_s
        self.kv_tokens = kv_tokens
        self.choice = choice
        self.turn = turn
        self.streams = request.streams
        self.worker = worker
        self.prefill = prefill
        self.factor = prefill.prefill.factor  # with which its TTFT was predicted
        self.first_token_s = -1.0
        self.step_s = 0.0  # predicted when decoding began
        self.computed_s = 0.0  # the worker's count then
        self.decode_factor = 1.0  # with this factor
        self.expected: list[tuple[str, list[int]]] | None = None


class Flights:
    """All requests under way. Owned by the router.

    Args:
        weights: its mean output is kept here.
        expires_s: a request that has not ended by then is taken for lost.
    """

    def __init__(self, index: PrefixIndex, weights: Weights, *, expires_s: float) -> None:
        self._index = index
        self._weights = weights
        self._expires_s = expires_s
        self._flights: dict[RequestId, Flight] = {}  # in the order sent
        self._unseen: list[tuple[float, int, RequestId]] = []  # heap: predicted first token, turn, request
        self._unconfirmed: deque[tuple[float, str, list[int]]] = deque()  # deadline, worker, blocks

    def __len__(self) -> int:
        return len(self._flights)

    def sent(
        self,
        request: RouteRequest,
        choice: Choice,
        worker: Candidate,
        prefill: Candidate,
        *,
        block_tokens: int,
        turn: int,
        now_s: float,
    ) -> float:
        """A request was sent to these. Returns: how long its prompt takes by the step time, in seconds."""
        hit_tokens = choice.hit_tokens
        new_tokens = request.prompt_tokens - hit_tokens
        if new_tokens < 1:
            new_tokens = 1
        speed = prefill.speed
        work_s = new_tokens * (speed.prefill_token_s + speed.prefill_attention_s * (hit_tokens + 0.5 * new_tokens))
        output = request.expected_output_tokens or self._weights.mean_output_tokens
        kv_tokens = request.prompt_tokens + 0.5 * output
        self._flights[request.id] = flight = Flight(
            request, choice, worker, prefill, now_s, turn, new_tokens, work_s, kv_tokens
        )
        if len(self._flights) > MAX_FLIGHTS:
            self.finished(next(iter(self._flights)), now_s, 0)
        if not request.streams:
            heapq.heappush(self._unseen, (now_s + choice.predicted_ttft_s, turn, request.id))
        prefill.load.sent(flight, True, now_s)
        if not prefill.stale:
            prefill.touch()
        if prefill is not worker:
            worker.load.sent(Task(request.id, now_s, 0, 0.0, kv_tokens), False, now_s)
            worker.touch()
        if request.block_hashes:
            index, known = self._index, choice.hit_tokens // block_tokens
            flight.expected = [(prefill.id, index.expect(prefill.id, request.block_hashes, known))]
            if prefill is not worker:
                flight.expected.append((worker.id, index.expect(worker.id, request.block_hashes)))
        return work_s

    def first_token(self, request_id: RequestId, now_s: float) -> None:
        """The first token of a request came. Unknown ids are harmless."""
        flight = self._flights.get(request_id)
        if flight is None or flight.first_token_s >= 0:
            return
        worker, prefill = flight.worker, flight.prefill
        self._computed(request_id, flight, now_s)
        if not flight.streams:  # then this is its last token too, which says nothing of TTFT
            return
        flight.first_token_s = now_s
        prefill.prefill.observe(
            flight.choice.predicted_ttft_s, now_s - flight.sent_s, factor=flight.factor, now_s=now_s
        )
        flight.step_s, flight.decode_factor = worker.step_s, worker.decode.factor
        flight.computed_s = worker.load.computed_s

    def finished(self, request_id: RequestId, now_s: float, output_tokens: int) -> None:
        """A request ended: answered, cut, cancelled or failed (0 tokens and no first one). Unknown ids are harmless."""
        flight = self._flights.pop(request_id, None)
        if flight is None:
            return
        worker, prefill = flight.worker, flight.prefill
        worker.load.ended(request_id, now_s)
        if not worker.stale:
            worker.touch()
        if prefill is not worker:
            prefill.load.ended(request_id, now_s)
            prefill.touch()
        began_s = flight.first_token_s
        if output_tokens > 0:
            weights = self._weights
            weights.mean_output_tokens += OUTPUT_GAIN * (output_tokens - weights.mean_output_tokens)
            if began_s >= 0 and output_tokens >= MIN_OUTPUT_FOR_ITL:
                # Stalls by the prompts computed meanwhile are no fault of the step time.
                stalled_s = (worker.load.computed_s - flight.computed_s) * prefill.prefill.factor
                itl_s = max(0.0, now_s - began_s - stalled_s) / (output_tokens - 1)
                step_s = 0.5 * (flight.step_s + worker.step_s)
                worker.decode.observe(step_s, itl_s, factor=flight.decode_factor, noise_s=ITL_NOISE_S, now_s=now_s)
        if flight.expected is not None:
            if output_tokens > 0:  # an answer that did not stream: its prompt was computed
                self._await_events(flight, now_s)
            else:  # it failed before its prompt was computed, as far as we know
                for owner, blocks in flight.expected:
                    self._index.withdraw(owner, blocks)

    def replaces(self, request_id: RequestId, now_s: float) -> None:
        """A request is about to be sent: what time has made true before counts first, its own earlier flight too."""
        if self._unseen:
            self.presume(now_s)
        if request_id in self._flights:
            self.finished(request_id, now_s, 0)

    def presume(self, now_s: float) -> None:
        """First tokens that nobody sees are taken to have come when predicted."""
        while self._unseen and self._unseen[0][0] <= now_s:
            at_s, turn, request_id = heapq.heappop(self._unseen)
            flight = self._flights.get(request_id)
            if flight is not None and flight.turn == turn:  # else it has ended, or was sent again
                self._computed(request_id, flight, at_s)

    def sweep(self, now_s: float) -> None:
        """Let go of what time has overtaken. Once a second, not with each request."""
        while self._unconfirmed and self._unconfirmed[0][0] <= now_s:
            _, owner, blocks = self._unconfirmed.popleft()
            self._index.withdraw(owner, blocks)
        while self._flights:
            oldest = next(iter(self._flights))
            if self._flights[oldest].sent_s + self._expires_s > now_s:
                break
            self.finished(oldest, now_s, 0)

    def _computed(self, request_id: RequestId, flight: Flight, now_s: float) -> None:
        """Its prompt is computed: it waits no more, and its blocks are cached."""
        worker, prefill = flight.worker, flight.prefill
        if prefill is worker:
            worker.load.first_token(request_id, now_s)
        else:  # handed over
            prefill.load.ended(request_id, now_s)
            prefill.touch()
        worker.touch()
        if flight.expected is not None:
            self._await_events(flight, now_s)

    def _await_events(self, flight: Flight, now_s: float) -> None:
        for worker, blocks in flight.expected or ():
            if blocks and self._index.publishes(worker):
                self._unconfirmed.append((now_s + CONFIRM_WITHIN_S, worker, blocks))
        flight.expected = None
