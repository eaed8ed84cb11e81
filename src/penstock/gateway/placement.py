"""Where one request goes, try after try: never again to a worker that failed it, and held while nobody can take it.

Bounds are those of `tries`: for workers that got the request and failed, and for those that never took it; then it is
refused. The router hears of every try and of its end.
"""

from penstock.errors import UpstreamError
from penstock.gateway.hold import Ticket
from penstock.gateway.means import Means
from penstock.gateway.prompts import Reading
from penstock.gateway.relay import Whole
from penstock.gateway.requests import CompletionRequest
from penstock.gateway.tries import Tries
from penstock.kvcache.hashing import block_hashes
from penstock.router.explanation import Explanation
from penstock.router.route_request import Choice, RouteRequest

# error.code of a 503 that says: this worker is not (or no longer) there for anybody, so waiting for another is right
NOT_SERVING = frozenset(("draining", "starting", "aborted"))
UNAVAILABLE = "unavailable"  # any other 503: it may be about this request alone


class Placement:
    """One request's way to a worker. `end` it, however it ends.

    choice: where it is now; None between tries.
    refusal: the last 503 of a worker.
    """

    __slots__ = (
        "_block_tokens",
        "_chosen_at_s",
        "_means",
        "_number",
        "_parsed",
        "_reading",
        "_route",
        "_ticket",
        "_tries",
        "choice",
        "refusal",
    )

    def __init__(self, number: int, parsed: CompletionRequest, reading: Reading, means: Means) -> None:
        """Args: number: request ids are the client's to choose, so they need not be unique; this is."""
        self._number = number
        self._parsed = parsed
        self._reading = reading
        self._means = means
        self._route: RouteRequest | None = None
        self._block_tokens = 0
        self._chosen_at_s = 0.0
        self._ticket: Ticket | None = None
        self._tries = Tries(means.settings.upstream)
        self.choice: Choice | None = None
        self.refusal: Whole | None = None

    async def choose(self) -> Choice | None:
        """Find a worker; wait in the holding room while there is none. Raises: Overloaded.

        Returns: None, if whoever could take it said no to this request: `refusal` is the answer.
        """
        means = self._means
        while True:
            if self._ticket is not None or not means.room:  # nobody overtakes those who wait
                self._chosen_at_s = now_s = means.clock()
                choice = means.routing.choose(self._routable(), now_s)
                if choice is not None:
                    if self._ticket is not None:
                        means.room.leave(self._ticket)
                    return choice
            if self.refusal is not None and refusal_reason(self.refusal) == UNAVAILABLE:
                return None
            self._ticket = means.room.enter(self._ticket)
            self._tries.start_over()
            await means.room.wait(self._ticket)

    def explain(self) -> Explanation:
        """Why it was placed as it was: every worker's price at the instant of the choice. Call it before `sent`."""
        return self._means.routing.explain(self._routable(), self._chosen_at_s)

    def sent(self, choice: Choice) -> None:
        """It is on its way, as chosen. Said again of the same try, it replaces what was said before."""
        self.choice = choice
        self._means.routing.router.sent(self._routable(), choice, self._means.clock())

    def first_token(self, now_s: float) -> None:
        """Its first token came."""
        self._means.routing.router.first_token(self._number, now_s)

    def pass_over(self, worker: str, reason: str, *, stage: str = "") -> None:
        """This worker did not do it: choose another. Unless the reason lies in the request, others avoid it too."""
        self._withdraw()
        self._tries.pass_over(worker)
        if reason != UNAVAILABLE:
            self._means.routing.failed(worker, self._means.clock())
        self._means.metrics.retried(stage + reason)

    def failed(self, worker: str, reason: str, *, delivered: bool) -> None:
        """The worker that was to answer did not. Raises: UpstreamError, if that was one too many."""
        another = self._tries.failed(worker, delivered=delivered)
        self.pass_over(worker, reason)
        if not another:
            raise UpstreamError(
                f"{self._tries.count} workers in turn failed this request, at last by: {reason}",
                code="workers_failed",
            )

    def end(self, output_tokens: int) -> None:
        """It is over, for whatever reason."""
        self._withdraw(output_tokens)
        if self._ticket is not None:
            self._means.room.leave(self._ticket)

    @property
    def prompt_tokens(self) -> int:
        """How long its prompt is, as far as it could be told before an engine had seen it."""
        return self._reading.tokens

    def learn_length(self, tokens: int) -> None:
        """An engine counted its prompt: if we could only estimate it, the next estimate is better."""
        if self._reading.ids is None:
            self._means.prompts.learn(self._parsed.prompt.chars, tokens)

    def _withdraw(self, output_tokens: int = 0) -> None:
        if self.choice is not None:
            self.choice = None
            self._means.routing.router.finished(self._number, self._means.clock(), output_tokens)

    def _routable(self) -> RouteRequest:
        routing, route = self._means.routing, self._route
        if route is None or self._block_tokens != routing.block_tokens:
            self._block_tokens = routing.block_tokens
            salted = self._parsed.cache_salt is not None  # then its blocks are shared with nobody we know
            self._route = route = RouteRequest(
                id=self._number,
                prompt_tokens=self._reading.tokens,
                block_hashes=[] if salted else _hashes(self._reading, routing.block_tokens),
                streams=self._parsed.stream,
                exclude=self._tries.excluded,
            )
        elif route.exclude is not self._tries.excluded:
            self._route = route = route.excluding(self._tries.excluded)
        return route


def refusal_reason(refusal: Whole) -> str:
    """Why a worker answered 503."""
    code = refusal.error_code()
    return code if code is not None and code in NOT_SERVING else UNAVAILABLE


def _hashes(reading: Reading, block_tokens: int) -> list[int]:
    if reading.ids is None:
        return []
    try:
        return block_hashes(reading.ids, block_tokens)
    except ValueError:
        return []  # ids beyond 32 bits: the engine will refuse them
