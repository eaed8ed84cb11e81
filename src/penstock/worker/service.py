"""What a worker does with one request, between HTTP and the engine; and when it takes none.

States: starting (503), serving, draining (503 for what is new; what is here goes on). A request counts as active from
the moment it is let in until its answer is out, and so does KV that waits to be read: the worker has drained when
neither is left.
"""

import asyncio
import time
import uuid

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import NeverFits
from penstock.errors import ClientError, Overloaded, UpstreamError
from penstock.hardware.steptime import StepTime
from penstock.messages.worker import Role, WorkerState
from penstock.tokenizer.tokenizer import Tokenizer
from penstock.worker.asked import Asked, RequestReader
from penstock.worker.driver import EngineDriver
from penstock.worker.kv_publisher import KvPublisher
from penstock.worker.pinned_kv import PinnedKv
from penstock.worker.remote_kv import RemoteKv, RemoteRef, remote_ref
from penstock.worker.settings import WorkerSettings
from penstock.worker.ticket import Ticket

MAX_ACTIVE = 8192  # requests that run or wait: the bound of its queue; far more than any target would bear


class WorkerService:
    """One worker without its sockets for HTTP. Raises: InputError, if its settings cannot be had."""

    def __init__(self, settings: WorkerSettings) -> None:
        spec = settings.engine
        self.settings = settings
        engine = Engine(EngineConfig.from_spec(spec, settings.role))
        tokenizer = Tokenizer.load(settings.tokenizer)
        self.reader = RequestReader(tokenizer, model=settings.model, max_model_len=spec.max_model_len)
        self.publisher: KvPublisher | None = None
        if settings.kv_events is not None:
            self.publisher = KvPublisher(spec.block_tokens, events=settings.kv_events, replay=settings.kv_replay)
        self.driver = EngineDriver(
            engine,
            StepTime.from_spec(spec.step_time),
            model_name=settings.model,
            max_model_len=spec.max_model_len,
            on_cache=self.publisher.publish if self.publisher is not None else None,
            on_prefilled=self._prefilled,
        )
        self.pinned = PinnedKv(settings, self._free)
        self.drained = asyncio.Event()
        self._remote: RemoteKv | None = None
        self._ready_at_s = 0.0
        self._draining = False
        self._active = 0

    def start(self) -> None:
        """Begin: events from now on; requests once the start-up delay is over."""
        self._ready_at_s = time.monotonic() + self.settings.start_delay_s
        if self.publisher is not None:
            self.publisher.start(asyncio.get_running_loop())

    @property
    def state(self) -> WorkerState:
        if self._draining:
            return WorkerState.DRAINING
        return WorkerState.STARTING if time.monotonic() < self._ready_at_s else WorkerState.READY

    @property
    def left(self) -> int:
        """What keeps a draining worker from ending: active requests, and KV that waits to be read."""
        return self._active + len(self.pinned)

    def drain(self) -> None:
        """Take nothing new. `drained` is set once nothing is left."""
        self._draining = True
        self._look_drained()

    def let_in(self) -> None:
        """Count a request in; `let_out` must follow. Raises: Overloaded, if starting, draining or full."""
        self.require_started()
        if self._draining:
            raise Overloaded("This worker is draining; send the request elsewhere.", retry_after_s=1, code="draining")
        if self._active >= MAX_ACTIVE:
            raise Overloaded(f"{MAX_ACTIVE} requests are here already.", retry_after_s=1, code="queue_full")
        self._active += 1

    def require_started(self) -> None:
        """Raises: Overloaded, during the start-up delay."""
        left_s = self._ready_at_s - time.monotonic()
        if left_s > 0:
            raise Overloaded("This worker is still starting.", retry_after_s=max(1.0, left_s), code="starting")

    def let_out(self) -> None:
        """A request's answer is out, or its client has left."""
        self._active -= 1
        self._look_drained()

    def remote_ref(self, asked: Asked) -> RemoteRef | None:
        """Where the KV of a request is, if elsewhere; and checks that this role can serve it. Raises: ClientError."""
        role = self.settings.role
        if role is Role.PREFILL and not _keeps_kv(asked) and len(asked.answer.ids) > 1:
            raise ClientError(
                "This worker only prefills: ask with max_tokens 1, or with kv_transfer_params.do_remote_decode.",
                param="max_tokens",
            )
        return remote_ref(asked.kv_transfer) if role is Role.DECODE else None

    async def fetch(self, asked: Asked, ref: RemoteRef) -> int:
        """Read a prompt's KV. Returns: how many of its tokens were cached over there. Raises: UpstreamError."""
        if self._remote is None:
            self._remote = RemoteKv(self.settings.engine.kv_transfer)
        driver = self.driver
        driver.deferred += 1
        try:
            cached, took_s = await self._remote.read(ref, prompt_tokens=asked.prompt_tokens)
        except UpstreamError:
            driver.metrics.failed_transfers += 1
            driver.metrics.finished["error"] += 1
            raise
        finally:
            driver.deferred -= 1
        driver.metrics.transfer.observe(took_s)
        return cached

    def submit(self, asked: Asked, *, arrived_s: float, remote_cached: int | None = None) -> Ticket:
        """Give a request to the engine. Raises: ClientError, if it can never fit.

        Args:
            remote_cached: its KV was read from elsewhere, where so many prompt tokens were found cached.
        """
        try:
            ticket = self.driver.submit(asked, arrived_s=arrived_s, remote=remote_cached is not None)
        except NeverFits as error:
            raise ClientError(f"This request never fits: {error}.", code="context_length_exceeded") from error
        ticket.cached_tokens = remote_cached or 0
        return ticket

    def abandon(self, ticket: Ticket) -> None:
        """The client has left."""
        self.driver.cancel(ticket)
        if ticket.kv_transfer is not None:
            self.pinned.free(str(ticket.kv_transfer["remote_request_id"]))

    async def close(self) -> None:
        """Give up what is left and close every socket."""
        self.driver.cancel_all()
        if self._remote is not None:
            await self._remote.close()
        if self.publisher is not None:
            self.publisher.close()

    def _prefilled(self, ticket: Ticket) -> None:
        if _keeps_kv(ticket.asked):
            ticket.kv_transfer = self.pinned.pin(ticket, f"{self.settings.id}-{uuid.uuid4().hex}")
        else:
            self.driver.release(ticket.id)

    def _free(self, ticket_id: int) -> None:
        self.driver.release(ticket_id)
        self._look_drained()

    def _look_drained(self) -> None:
        if self._draining and not self.left:
            self.drained.set()


def _keeps_kv(asked: Asked) -> bool:
    return asked.kv_transfer is not None and asked.kv_transfer.get("do_remote_decode") is True
