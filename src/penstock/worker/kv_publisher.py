"""Publishes KV events on ZMQ as vLLM does, and replays them to who missed some.

One message per engine step that changed the cache: `[topic, sequence, payload]`, the sequence as 8 bytes big-endian
from 0, the payload as `kvcache.events` writes it. PUB never blocks: a subscriber that does not keep up loses
messages, sees the gap in the sequence, and asks the replay endpoint, a ROUTER: `[b"", first sequence]`, answered with
`[b"", topic, sequence, payload]` for each message still kept and an end marker of sequence -1.

What is kept for replay is bounded by messages and by bytes. Who needs more than that starts its index anew.

Source: vllm/distributed/kv_events.py (ZmqEventPublisher); docs.vllm.ai, "KV Events".
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import zmq

from penstock.errors import InputError
from penstock.kvcache.events import BlockRemoved, BlockStored, Event, EventBatch, encode
from penstock.kvcache.pool import CacheEvent, PagesStored
from penstock.worker.ticket import Ticket

KEPT_MESSAGES = 10_000  # vLLM's default (buffer_steps)
KEPT_BYTES = 64 * 2**20
SEND_QUEUE = 100_000  # vLLM's default (hwm): messages held for a slow subscriber
END_SEQUENCE = b"\xff" * 8
_SEQUENCE_BYTES = 8
_POLL_IN = int(zmq.POLLIN)


class KvPublisher:
    """One worker's KV events. Belongs to one event loop.

    Args:
        block_tokens: tokens per block.
        events, replay: endpoints to bind, as `ipc:///path` or `tcp://127.0.0.1:port`.
    Raises: InputError, if they cannot be bound.
    """

    def __init__(self, block_tokens: int, *, events: str, replay: str | None, topic: bytes = b"") -> None:
        self._block_tokens = block_tokens
        self._topic = topic
        self._context = zmq.Context(io_threads=1)
        self._endpoints = [endpoint for endpoint in (events, replay) if endpoint]
        self._pub = self._context.socket(zmq.PUB)
        self._pub.setsockopt(zmq.SNDHWM, SEND_QUEUE)
        self._router: zmq.Socket[bytes] | None = None
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self.next_sequence = 0
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None
        try:
            self._bind(self._pub, events)
            if replay is not None:
                self._router = self._context.socket(zmq.ROUTER)
                self._router.setsockopt(zmq.SNDHWM, KEPT_MESSAGES + 16)
                self._bind(self._router, replay)
        except InputError:
            self.close()
            raise

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer replay requests from now on."""
        if self._router is not None:
            descriptor = int(self._router.getsockopt(zmq.FD))
            loop.add_reader(descriptor, self._serve_replays)
            self._watched = (loop, descriptor)
            self._serve_replays()

    def publish(self, events: tuple[CacheEvent, ...], tickets: dict[int, Ticket]) -> None:
        """Publish what one step did. `tickets` hold the token ids of the blocks that were stored."""
        wire = tuple(self._as_event(event, tickets) for event in events)
        self._send(encode(EventBatch(ts=time.time(), events=wire, dp_rank=0)))

    def close(self) -> None:
        """Stop, and leave no socket file behind."""
        if self._watched is not None:
            loop, descriptor = self._watched
            loop.remove_reader(descriptor)
        self._context.destroy(linger=0)
        for endpoint in self._endpoints:
            if endpoint.startswith("ipc://"):
                with suppress(OSError):
                    Path(endpoint.removeprefix("ipc://")).unlink()

    def _bind(self, socket: "zmq.Socket[bytes]", endpoint: str) -> None:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            reason = str(error).lower()
            raise InputError(
                endpoint, f"cannot be bound ({reason})", "use a free ipc:// path or tcp:// port"
            ) from error

    def _as_event(self, event: CacheEvent, tickets: dict[int, Ticket]) -> Event:
        if not isinstance(event, PagesStored):
            return BlockRemoved(block_hashes=event.hashes, medium="GPU")
        size = self._block_tokens
        first = event.first_page * size
        tokens = tickets[event.request_id].asked.tokens
        return BlockStored(
            block_hashes=event.hashes,
            parent_block_hash=event.parent,
            token_ids=tuple(tokens[first : first + size * len(event.hashes)]),
            block_size=size,
            medium="GPU",
        )

    def _send(self, payload: bytes) -> None:
        sequence = self.next_sequence
        self.next_sequence += 1
        self._kept.append((sequence, payload))
        self._kept_bytes += len(payload)
        while len(self._kept) > KEPT_MESSAGES or (self._kept_bytes > KEPT_BYTES and len(self._kept) > 1):
            self._kept_bytes -= len(self._kept.popleft()[1])
        self._pub.send_multipart((self._topic, sequence.to_bytes(_SEQUENCE_BYTES, "big"), payload))

    def _serve_replays(self) -> None:
        """Answer every replay request that is there. The descriptor is edge-triggered, so look until there is none."""
        router = self._router
        assert router is not None
        while int(router.getsockopt(zmq.EVENTS)) & _POLL_IN:
            try:
                frames = router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(frames) == 3 and frames[1] == b"" and len(frames[2]) == _SEQUENCE_BYTES:
                self._replay(router, frames[0], int.from_bytes(frames[2], "big"))

    def _replay(self, router: "zmq.Socket[bytes]", client: bytes, first: int) -> None:
        for sequence, payload in self._kept:
            if sequence >= first:
                router.send_multipart((client, b"", self._topic, sequence.to_bytes(_SEQUENCE_BYTES, "big"), payload))
        router.send_multipart((client, b"", self._topic, END_SEQUENCE, b""))
