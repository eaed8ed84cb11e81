"""Follows one worker's KV events over ZMQ and keeps its part of the prefix index true.

Batches are numbered from 0. A gap means that some were lost (a slow reader): they are asked for again at the worker's
replay endpoint, and what arrives meanwhile waits, bounded. If they cannot be had, or cannot be read, all that is known
of that worker is dropped, and events from there on build it up again. So it is when the connection breaks: what comes
back under the same address may be another process, with numbers of its own. A subscription begins with a replay from
0, since a worker may have filled blocks before.

Sockets are read from the event loop's own readiness callbacks, a few batches at a time, so that no stream waits long.
Source: vLLM, KV events (see `kvcache.events`); ZMQ's descriptor is edge-triggered, so it is read until it is empty.
"""

import asyncio
import logging
from collections.abc import Callable

import zmq

from penstock.gateway.kv_translation import Change, Cleared, KvTranslation
from penstock.kvcache.events import MalformedEvents, decode
from penstock.messages.worker import WorkerRecord
from penstock.telemetry.gateway_metrics import GatewayMetrics

log = logging.getLogger(__name__)

_AT_ONCE = 32  # batches read in one go, before others get their turn
_WAITING_MOST = 10_000  # batches held back during a replay
_REPLAY_TIMEOUT_S = 3.0  # without a batch
_END = b"\xff" * 8  # a sequence of -1 ends a replay


class KvSubscriber:
    """Follows one worker. Args: apply: takes the changes, in order."""

    def __init__(
        self,
        record: WorkerRecord,
        *,
        context: "zmq.Context[zmq.Socket[bytes]]",
        block_tokens: int,
        apply: Callable[[Change], None],
        metrics: GatewayMetrics,
    ) -> None:
        assert record.kv_events is not None
        self._record = record
        self._apply = apply
        self._metrics = metrics
        self._translation = KvTranslation(block_tokens)
        self._loop = asyncio.get_running_loop()
        self._next = 0  # the sequence number that comes next
        self._waiting: list[tuple[int, bytes]] = []  # live events that came during a replay
        self._timer: asyncio.TimerHandle | None = None
        self._complained = False
        self._context = context
        self._events = context.socket(zmq.SUB)
        self._events.setsockopt(zmq.LINGER, 0)
        self._events.setsockopt(zmq.RCVHWM, 100_000)
        self._events.setsockopt(zmq.SUBSCRIBE, b"")
        self._events.connect(record.kv_events)
        self._replay: zmq.Socket[bytes] | None = None  # while a replay is under way
        self._losses = self._events.get_monitor_socket(int(zmq.EVENT_DISCONNECTED))
        self._loop.add_reader(self._events.fileno(), self._read_events)
        self._loop.add_reader(self._losses.fileno(), self._read_losses)
        self._read_losses()  # the descriptor tells only of what comes after a read
        self._ask_replay(0)

    def close(self) -> None:
        """Stop following."""
        for socket in (self._events, self._losses):
            self._loop.remove_reader(socket.fileno())
        self._events.disable_monitor()
        self._losses.close()
        self._events.close()
        self._end_replay()

    def poll(self) -> None:
        """Called every second or so: read in case that a descriptor's edge was missed."""
        self._read_losses()
        self._read_events()
        self._read_replay()

    # --- the connection

    def _read_losses(self) -> None:
        """The connection broke: start anew, with whoever is there next."""
        lost = False
        while not self._losses.closed:
            try:
                self._losses.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            lost = True
        if lost:
            self._waiting.clear()
            self._rebuild("its connection broke")
            self._next = 0
            self._ask_replay(0)

    # --- live events

    def _read_events(self) -> None:
        for _ in range(_AT_ONCE):
            if self._events.closed:
                return
            try:
                frames = self._events.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(frames) == 3 and len(frames[1]) == 8:
                self._arrived(int.from_bytes(frames[1], "big"), frames[2])
        self._loop.call_soon(self._read_events)

    def _arrived(self, sequence: int, payload: bytes) -> None:
        if self._replay is not None:
            self._waiting.append((sequence, payload))
            if len(self._waiting) > _WAITING_MOST:
                self._go_on("more events came during a replay than are held back")
        elif sequence == self._next:
            self._take(sequence, payload)
        elif sequence > self._next:
            self._metrics.kv_event_gaps.inc()
            self._waiting.append((sequence, payload))
            self._ask_replay(self._next)
        # else: known already, from a replay

    def _take(self, sequence: int, payload: bytes) -> None:
        self._next = sequence + 1
        try:
            batch = decode(payload)
        except MalformedEvents as error:
            if not self._complained:
                self._complained = True
                log.warning("worker %s: %s", self._record.id, error)
            self._rebuild("a batch cannot be read")
            return
        for change in self._translation.translate(batch.events):
            self._apply(change)

    # --- replay

    def _ask_replay(self, start: int) -> None:
        if self._record.kv_replay is None:
            if start or self._waiting:
                self._go_on("it offers no replay")
            return
        self._end_replay()
        self._replay = self._context.socket(zmq.DEALER)
        self._replay.setsockopt(zmq.LINGER, 0)
        self._replay.connect(self._record.kv_replay)
        self._replay.send_multipart([b"", start.to_bytes(8, "big")], zmq.NOBLOCK)
        self._loop.add_reader(self._replay.fileno(), self._read_replay)
        self._set_timer()
        self._loop.call_soon(self._read_replay)  # the descriptor tells only of what comes from now on

    def _read_replay(self) -> None:
        for taken in range(_AT_ONCE):
            if self._replay is None:
                return
            try:
                frames = self._replay.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                if taken:
                    self._set_timer()
                return
            # [b"", topic, sequence, payload]; some versions leave the topic out
            if len(frames) < 3 or len(frames[-2]) != 8:
                continue
            if frames[-2] == _END:
                self._go_on("its replay ended before what is missing")
                return
            sequence = int.from_bytes(frames[-2], "big")
            if sequence > self._next and self._next:
                self._rebuild("its replay starts later than what is missing")
            if sequence >= self._next:
                self._take(sequence, frames[-1])
        self._set_timer()
        self._loop.call_soon(self._read_replay)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_REPLAY_TIMEOUT_S, self._go_on, "its replay did not end in time")

    def _go_on(self, why: str) -> None:
        """The replay is over: go on with what waits. Where something is missing still, drop what is known."""
        self._end_replay()
        waiting, self._waiting = self._waiting, []
        for sequence, payload in waiting:
            if sequence > self._next:
                self._rebuild(why)
            if sequence >= self._next:
                self._take(sequence, payload)

    def _rebuild(self, why: str) -> None:
        if len(self._translation):
            log.warning("worker %s: its part of the prefix index is built anew: %s", self._record.id, why)
        self._metrics.kv_rebuilds.inc()
        self._translation.forget()
        self._apply(Cleared())

    def _end_replay(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._replay is not None:
            self._loop.remove_reader(self._replay.fileno())
            self._replay.close()
            self._replay = None
