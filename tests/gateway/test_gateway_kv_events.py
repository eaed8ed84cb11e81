"""KV events: an engine's names become ours, gaps are replayed, and what cannot be known is dropped."""

import asyncio
import random
from pathlib import Path

import pytest
import zmq
from gateway_fakes import run, until

from penstock.gateway import kv_translation
from penstock.gateway.kv_subscriber import KvSubscriber
from penstock.gateway.kv_translation import Change, Cleared, KvTranslation, Removed, Stored
from penstock.kvcache.events import AllBlocksCleared, BlockRemoved, BlockStored, EventBatch, encode
from penstock.kvcache.hashing import block_hashes
from penstock.messages.worker import Role, WorkerRecord
from penstock.telemetry.gateway_metrics import GatewayMetrics


def stored(names: list[int], parent: int | None, tokens: list[int], size: int = 4, **more: object) -> BlockStored:
    return BlockStored(
        block_hashes=tuple(names), parent_block_hash=parent, token_ids=tuple(tokens), block_size=size, **more
    )  # type: ignore[arg-type]


def held(changes: list[Change]) -> set[int]:
    """What an index would hold after these changes."""
    blocks: set[int] = set()
    for change in changes:
        if isinstance(change, Stored):
            blocks |= set(change.hashes)
        elif isinstance(change, Removed):
            blocks -= set(change.hashes)
        else:
            blocks.clear()
    return blocks


TOKENS = list(range(32))
OURS = block_hashes(TOKENS, 4)
MARK = block_hashes([9] * 4, 4)


def test_names_follow_from_the_parents_whatever_the_engine_calls_them() -> None:
    translation = KvTranslation(4)
    changes = list(translation.translate((stored([77, 5], None, TOKENS[:8]), stored([6], 5, TOKENS[8:12]))))
    assert changes == [Stored(OURS[:2], None), Stored([OURS[2]], OURS[1])]
    assert list(translation.translate((BlockRemoved(block_hashes=(5, 99)),))) == [Removed([OURS[1]])]
    assert list(translation.translate((stored([8], 5, TOKENS[12:16]),))) == [], "its parent is gone"
    assert list(translation.translate((AllBlocksCleared(),))) == [Cleared()]
    assert len(translation) == 0


def test_an_engine_block_may_hold_several_of_ours() -> None:
    translation = KvTranslation(4)
    assert list(translation.translate((stored([1, 2], None, TOKENS[:16], 8),))) == [Stored(OURS[:4], None)]
    assert list(translation.translate((BlockRemoved(block_hashes=(2,)),))) == [Removed(OURS[2:4])]


@pytest.mark.parametrize(
    "event",
    [
        stored([1], None, TOKENS[:4], lora_id=1),
        stored([1], None, TOKENS[:4], lora_name="x"),
        stored([1], None, TOKENS[:4], extra_keys=("image",)),
        stored([1], None, TOKENS[:6], 6),
        stored([1, 2], None, TOKENS[:4]),
        stored([], None, []),
        stored([1], None, [-1, 0, 0, 0]),
    ],
)
def test_what_equal_tokens_do_not_name_is_left_out(event: BlockStored) -> None:
    assert list(KvTranslation(4).translate((event,))) == []


def test_a_worker_with_more_blocks_than_can_be_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_translation, "MAX_BLOCKS", 2)
    translation = KvTranslation(4)
    changes = [
        change
        for name in range(5)
        for change in translation.translate((stored([name], None, TOKENS[4 * name : 4 * name + 4]),))
    ]
    assert held(changes) == {block_hashes(TOKENS[4 * name : 4 * name + 4], 4)[0] for name in (3, 4)}
    assert len(translation) == 2


class Publisher:
    """A worker's KV events with replay, in which batches can be lost."""

    def __init__(self, folder: Path, name: str = "w", *, replay: bool = True) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.events, self.replay = f"ipc://{folder}/{name}.kv", f"ipc://{folder}/{name}.replay" if replay else None
        self.pub = self.context.socket(zmq.PUB)
        self.pub.bind(self.events)
        self.kept: list[tuple[int, bytes]] = []
        self.sequence = 0
        self.asked: list[int] = []
        self.silent = False
        self.pause_s = 0.0  # between two batches of a replay
        self.answering = None
        if replay:
            self.router = self.context.socket(zmq.ROUTER)
            self.router.bind(self.replay)
            self.answering = asyncio.ensure_future(self._answer())

    @property
    def record(self) -> WorkerRecord:
        return WorkerRecord(
            id="w", url="http://h:1", component="c", role=Role.WORKER, kv_events=self.events, kv_replay=self.replay
        )

    def publish(self, *events: object, lose: bool = False, keep: bool = True) -> None:
        payload = encode(EventBatch(ts=0.0, events=tuple(events)))  # type: ignore[arg-type]
        if keep:
            self.kept.append((self.sequence, payload))
        if not lose:
            self.pub.send_multipart([b"", self.sequence.to_bytes(8, "big"), payload])
        self.sequence += 1

    async def _answer(self) -> None:
        while True:
            try:
                frames = self.router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                await asyncio.sleep(0.005)
                continue
            start = int.from_bytes(frames[2], "big")
            self.asked.append(start)
            if self.silent:
                continue
            for sequence, payload in self.kept:
                if sequence >= start:
                    await asyncio.sleep(self.pause_s)
                    self.router.send_multipart([frames[0], b"", b"", sequence.to_bytes(8, "big"), payload])
            self.router.send_multipart([frames[0], b"", b"", b"\xff" * 8, b""])

    def close(self) -> None:
        if self.answering is not None:
            self.answering.cancel()
        self.context.destroy(linger=0)


class Following:
    """A subscriber and what it told."""

    def __init__(self, record: WorkerRecord) -> None:
        self.changes: list[Change] = []
        self.metrics = GatewayMetrics(slo_ttft_s=0.5, slo_itl_s=0.05)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.subscriber = KvSubscriber(
            record, context=self.context, block_tokens=4, apply=self.changes.append, metrics=self.metrics
        )

    @property
    def held(self) -> set[int]:
        return held(self.changes)

    def count(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"penstock_gateway_{name}_total")

    def close(self) -> None:
        self.subscriber.close()
        self.context.destroy(linger=0)


async def settled(publisher: Publisher, following: Following) -> None:
    """Wait until live events flow: ZMQ connects when it likes, and what was published before is lost."""
    name = 10**6
    while not following.held:
        publisher.publish(stored([name], None, [1, 1, 1, 1]))
        await asyncio.sleep(0.02)
    publisher.publish(BlockRemoved(block_hashes=(name,)))
    await until(lambda: not following.held)


def test_what_was_stored_before_we_came_is_replayed(tmp_path: Path) -> None:
    async def test() -> None:
        publisher = Publisher(tmp_path)
        publisher.publish(stored([1, 2], None, TOKENS[:8]))
        publisher.publish(BlockRemoved(block_hashes=(2,)))
        following = Following(publisher.record)
        await until(lambda: following.held == {OURS[0]})
        following.close()
        publisher.close()

    run(test())


def test_a_gap_is_replayed_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        publisher = Publisher(tmp_path)
        following = Following(publisher.record)
        await settled(publisher, following)
        publisher.publish(stored([1], None, TOKENS[:4]))
        publisher.publish(stored([2], 1, TOKENS[4:8]), lose=True)
        publisher.publish(stored([3], 2, TOKENS[8:12]))
        publisher.publish(stored([4], 3, TOKENS[12:16]))
        await until(lambda: following.held == set(OURS[:4]))
        assert following.count("kv_event_gaps") >= 1
        assert following.count("kv_index_rebuilds") == 0
        following.close()
        publisher.close()

    run(test())


@pytest.mark.parametrize("replay", [True, False], ids=["replay too short", "no replay"])
def test_what_cannot_be_replayed_makes_the_index_start_anew(tmp_path: Path, replay: bool) -> None:
    async def test() -> None:
        publisher = Publisher(tmp_path, replay=replay)
        following = Following(publisher.record)
        await settled(publisher, following)
        publisher.publish(stored([1], None, TOKENS[:4]))
        publisher.publish(BlockRemoved(block_hashes=(1,)), lose=True, keep=False)
        publisher.publish(stored([3], None, TOKENS[4:8]))
        await until(lambda: following.held == set(block_hashes(TOKENS[4:8], 4)))
        assert following.count("kv_index_rebuilds") >= 1
        following.close()
        publisher.close()

    run(test())


def test_a_replay_that_never_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.gateway.kv_subscriber._REPLAY_TIMEOUT_S", 0.1)

    async def test() -> None:
        publisher = Publisher(tmp_path)
        publisher.silent = True
        following = Following(publisher.record)
        await settled(publisher, following)
        publisher.publish(stored([3], None, TOKENS[4:8]))
        await until(lambda: following.held == set(block_hashes(TOKENS[4:8], 4)))
        following.close()
        publisher.close()

    run(test())


def test_a_long_replay_is_not_given_up_while_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.gateway.kv_subscriber._REPLAY_TIMEOUT_S", 0.2)

    async def test() -> None:
        publisher = Publisher(tmp_path)
        publisher.pause_s = 0.05
        for name in range(8):
            publisher.publish(stored([name], name - 1 if name else None, TOKENS[4 * name : 4 * name + 4]))
        following = Following(publisher.record)
        await until(lambda: following.held == set(OURS))
        following.close()
        publisher.close()

    run(test())


def test_what_waited_for_a_replay_in_vain_may_have_gaps_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.gateway.kv_subscriber._REPLAY_TIMEOUT_S", 0.2)

    async def test() -> None:
        publisher = Publisher(tmp_path)
        publisher.silent = True
        following = Following(publisher.record)
        await settled(publisher, following)
        publisher.publish(lose=True)
        publisher.publish(stored([1], None, TOKENS[:4]))
        publisher.publish(BlockRemoved(block_hashes=(1,)), lose=True)
        publisher.publish(stored([2], None, TOKENS[4:8]))
        await until(lambda: set(block_hashes(TOKENS[4:8], 4)) <= following.held)
        assert following.held == set(block_hashes(TOKENS[4:8], 4))
        following.close()
        publisher.close()

    run(test())


def test_a_batch_that_cannot_be_read_is_as_good_as_lost(tmp_path: Path) -> None:
    async def test() -> None:
        publisher = Publisher(tmp_path)
        following = Following(publisher.record)
        await settled(publisher, following)
        publisher.publish(stored([1], None, TOKENS[:4]))
        publisher.pub.send_multipart([b"", publisher.sequence.to_bytes(8, "big"), b"it removed block 1"])
        publisher.sequence += 1
        publisher.publish(stored([2], None, TOKENS[4:8]))
        await until(lambda: following.held == set(block_hashes(TOKENS[4:8], 4)))
        following.close()
        publisher.close()

    run(test())


@pytest.mark.parametrize("replay", [True, False])
def test_another_process_behind_the_same_endpoints_starts_the_index_anew(tmp_path: Path, replay: bool) -> None:
    """Whatever numbers it counts, and though its first batches are not heard."""

    async def test() -> None:
        first = Publisher(tmp_path, replay=replay)
        following = Following(first.record)
        await settled(first, following)
        for name in range(4):
            first.publish(stored([name], name - 1 if name else None, TOKENS[4 * name : 4 * name + 4]))
        await until(lambda: following.held == set(OURS[:4]))
        first.close()
        second = Publisher(tmp_path, replay=replay)
        second.publish(stored([70], None, TOKENS[:4]))
        second.publish(stored([71], 70, TOKENS[4:8]))
        mark = 1000
        while not any(isinstance(change, Stored) and change.hashes == MARK for change in following.changes):
            second.publish(stored([mark], None, [9] * 4))
            mark += 1
            await asyncio.sleep(0.02)
        await until(lambda: following.held in ({*OURS[:2], *MARK}, {*MARK}))
        assert following.held == ({*OURS[:2], *MARK} if replay else {*MARK})
        following.close()
        second.close()

    run(test())


def test_garbage_between_events_does_no_harm(tmp_path: Path) -> None:
    async def test() -> None:
        publisher = Publisher(tmp_path)
        following = Following(publisher.record)
        await settled(publisher, following)
        for frames in ([b"x"], [b"", b"short", b""], [b"", publisher.sequence.to_bytes(8, "big"), b"\xc1garbage"]):
            publisher.pub.send_multipart(frames)
        publisher.sequence += 1
        publisher.publish(stored([1], None, TOKENS[:4]))
        await until(lambda: following.held == {OURS[0]})
        following.close()
        publisher.close()

    run(test())


def test_with_batches_lost_at_random_the_index_ends_as_the_worker_has_it(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)

    async def test() -> None:
        publisher = Publisher(tmp_path)
        following = Following(publisher.record)
        await settled(publisher, following)
        truth: dict[int, int] = {}
        for step in range(200):
            if truth and chance.random() < 0.4:
                name = chance.choice(list(truth))
                truth.pop(name)
                publisher.publish(BlockRemoved(block_hashes=(name,)), lose=chance.random() < 0.2)
            else:
                tokens = [chance.randrange(1000) for _ in range(4)]
                truth[step + 10] = block_hashes(tokens, 4)[0]
                publisher.publish(stored([step + 10], None, tokens), lose=chance.random() < 0.2)
            if step % 20 == 0:
                await asyncio.sleep(0.005)
        publisher.publish()  # whatever was lost last shows as a gap
        await until(lambda: following.held == set(truth.values()))
        following.close()
        publisher.close()

    run(test())
