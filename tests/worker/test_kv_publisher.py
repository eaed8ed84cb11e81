"""KV events over real ZMQ sockets: an index that follows them is the engine's cache."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio

from penstock.errors import InputError
from penstock.kvcache.events import BlockStored, decode
from penstock.kvcache.hashing import block_hashes
from penstock.messages.engine_spec import EngineSpec, StepTimeSpec
from penstock.messages.worker import Role
from penstock.worker import kv_publisher
from penstock.worker.asked import Api
from penstock.worker.kv_publisher import END_SEQUENCE, KvPublisher
from penstock.worker.service import WorkerService
from penstock.worker.settings import WorkerSettings


class Index:
    """What a subscriber knows; checks each event against the tokens that it carries."""

    def __init__(self) -> None:
        self.blocks: set[int] = set()
        self.next_sequence = 0

    def apply(self, sequence: int, payload: bytes) -> None:
        assert sequence == self.next_sequence, "a gap"
        self.next_sequence += 1
        batch = decode(payload)
        assert abs(batch.ts - time.time()) < 60
        for event in batch.events:
            if isinstance(event, BlockStored):
                parent = event.parent_block_hash
                assert parent is None or parent in self.blocks
                salt = parent or 0
                assert tuple(block_hashes(event.token_ids, event.block_size, salt=salt)) == event.block_hashes
                self.blocks |= set(event.block_hashes)
            else:
                removed = set(event.block_hashes)  # type: ignore[union-attr]
                assert removed <= self.blocks
                self.blocks -= removed


def service_in(folder: Path, kv_blocks: int = 14) -> WorkerService:
    engine = EngineSpec(
        max_num_seqs=4,
        max_num_batched_tokens=64,
        block_tokens=16,
        kv_blocks=kv_blocks,
        step_time=StepTimeSpec(base_s=0.0005),
    )
    settings = WorkerSettings(
        id="w",
        model="m",
        tokenizer="penstock/tiny",
        role=Role.WORKER,
        engine=engine,
        port=1,
        kv_events=f"ipc://{folder}/w.kv",
        kv_replay=f"ipc://{folder}/w.replay",
    )
    return WorkerService(settings)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 30)

    asyncio.run(bounded())


async def ask(service: WorkerService, prompt: list[int], max_tokens: int) -> None:
    body = b'{"prompt": %s, "max_tokens": %d}' % (str(prompt).encode(), max_tokens)
    ticket = service.submit(service.reader.read(Api.TEXT, body), arrived_s=time.monotonic())
    await ticket.news(0)


async def replayed(context: Any, folder: Path, first: int) -> list[tuple[int, bytes]]:
    dealer = context.socket(zmq.DEALER)
    dealer.connect(f"ipc://{folder}/w.replay")
    await dealer.send_multipart([b"", first.to_bytes(8, "big")])
    got = []
    while True:
        empty, topic, sequence, payload = await dealer.recv_multipart()
        assert (empty, topic) == (b"", b"")
        if sequence == END_SEQUENCE:
            assert payload == b""
            dealer.close()
            return got
        got.append((int.from_bytes(sequence, "big"), payload))


def test_an_index_that_follows_the_events_is_the_engines_cache(tmp_path: Path) -> None:
    """With a tiny cache, shared prefixes, evictions, preemptions and cancelled requests; and so is a replayed one."""
    seed = 5
    draw = random.Random(seed)

    async def scenario() -> None:
        service = service_in(tmp_path)
        service.start()
        with zmq.asyncio.Context() as context:
            subscriber = context.socket(zmq.SUB)
            subscriber.subscribe(b"")
            subscriber.connect(f"ipc://{tmp_path}/w.kv")
            await asyncio.sleep(0.1)  # PUB drops what comes before it has heard of a subscriber
            prefixes = [[draw.randrange(300, 4000) for _ in range(64)] for _ in range(4)]
            for _ in range(25):
                jobs = []
                for _ in range(6):
                    prefix = draw.choice(prefixes)[: 16 * draw.randint(1, 4)]
                    tail = [draw.randrange(300, 4000) for _ in range(draw.randint(0, 40))]
                    jobs.append(asyncio.ensure_future(ask(service, prefix + tail, draw.randint(20, 60))))
                await asyncio.sleep(0.003)
                service.driver.cancel(draw.choice(list(service.driver._tickets.values())))
                await asyncio.gather(*jobs)
            await asyncio.sleep(0.02)
            publisher = service.publisher
            assert publisher is not None
            assert service.driver.metrics.preemptions > 0, f"seed {seed}"
            cached = service.driver.engine.cached_hashes()
            live, late = Index(), Index()
            while live.next_sequence < publisher.next_sequence:
                topic, sequence, payload = await subscriber.recv_multipart()
                assert topic == b""
                live.apply(int.from_bytes(sequence, "big"), payload)
            assert live.blocks == cached
            for number, payload in await replayed(context, tmp_path, 0):
                late.apply(number, payload)
            assert late.blocks == cached
            assert late.next_sequence == publisher.next_sequence
            middle = publisher.next_sequence // 2
            assert (await replayed(context, tmp_path, middle))[0][0] == middle
            subscriber.close()
        await service.close()

    run(scenario)
    assert list(tmp_path.iterdir()) == []  # no socket files are left


def test_replay_is_bounded_so_that_an_old_gap_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped is not invented: the first message replayed is later than the one asked for."""
    monkeypatch.setattr(kv_publisher, "KEPT_MESSAGES", 3)

    async def scenario() -> None:
        service = service_in(tmp_path)
        service.start()
        for number in range(6):
            await ask(service, [300 + number] * 16, 1)
        with zmq.asyncio.Context() as context:
            numbers = [number for number, _ in await replayed(context, tmp_path, 0)]
            assert numbers == [3, 4, 5]
            assert await replayed(context, tmp_path, 6) == []
        await service.close()

    run(scenario)


def test_nonsense_at_the_replay_endpoint_is_ignored(tmp_path: Path) -> None:
    """And the next good request is answered."""

    async def scenario() -> None:
        service = service_in(tmp_path)
        service.start()
        await ask(service, [300] * 16, 1)
        with zmq.asyncio.Context() as context:
            dealer = context.socket(zmq.DEALER)
            dealer.connect(f"ipc://{tmp_path}/w.replay")
            for frames in ([b""], [b"", b"short"], [b"x", b"\0" * 8], [b"", b"\0" * 8, b"more"]):
                await dealer.send_multipart(frames)
            assert len(await replayed(context, tmp_path, 0)) == 1
            dealer.close()
        await service.close()

    run(scenario)


def test_an_endpoint_that_cannot_be_bound_is_named(tmp_path: Path) -> None:
    """And nothing stays open."""
    with pytest.raises(InputError, match="cannot be bound") as caught:
        KvPublisher(16, events=f"ipc://{tmp_path}/a", replay=f"ipc://{tmp_path}/no/such/folder")
    assert "no/such/folder" in str(caught.value)
