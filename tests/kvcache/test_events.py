"""KV events are read in every shape that engines send, and nothing else gets in."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.kvcache import events
from penstock.kvcache.events import (
    AllBlocksCleared,
    BlockRemoved,
    BlockStored,
    EventBatch,
    MalformedEvents,
    decode,
    encode,
)

pack = msgspec.msgpack.encode
HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple)
TEXT = st.none() | st.text(max_size=5)
STORED = st.builds(
    BlockStored,
    block_hashes=HASHES,
    parent_block_hash=st.none() | st.integers(0, 2**64 - 1),
    token_ids=st.lists(st.integers(0, 2**32 - 1), max_size=8).map(tuple),
    block_size=st.integers(1, 64),
    lora_id=st.none() | st.integers(0, 9),
    medium=TEXT,
    lora_name=TEXT,
    group_idx=st.none() | st.integers(0, 9),
)
REMOVED = st.builds(BlockRemoved, block_hashes=HASHES, medium=TEXT, group_idx=st.none() | st.integers(0, 9))
BATCHES = st.builds(
    EventBatch,
    ts=st.floats(allow_nan=False, allow_infinity=False),
    events=st.lists(STORED | REMOVED | st.just(AllBlocksCleared()), max_size=4).map(tuple),
    dp_rank=st.none() | st.integers(0, 7),
)


@settings(deadline=None)
@given(batch=BATCHES, shape=st.sampled_from(["maps", "arrays"]))
def test_what_is_encoded_is_decoded(batch: EventBatch, shape: events.Shape) -> None:
    """In both shapes."""
    assert decode(encode(batch, shape=shape)) == batch


STORED_FIELDS = {"block_hashes": [7, 8], "parent_block_hash": None, "token_ids": [1, 2, 3, 4], "block_size": 2}
STORED_EVENT = BlockStored(block_hashes=(7, 8), parent_block_hash=None, token_ids=(1, 2, 3, 4), block_size=2)


@pytest.mark.parametrize("document", [
    [1.5, [{"type": "BlockStored", **STORED_FIELDS}]],
    [1.5, [{"type": "BlockStored", **STORED_FIELDS}], 0],
    [1.5, [["BlockStored", [7, 8], None, [1, 2, 3, 4], 2]], 0],
    {"ts": 1.5, "events": [["BlockStored", [7, 8], None, [1, 2, 3, 4], 2, None]], "data_parallel_rank": 0},
    {"ts": 1.5, "events": [{"type": "BlockStored", **STORED_FIELDS}]},
    [1.5, [{"type": "BlockStored", **STORED_FIELDS, "kv_cache_spec_kind": "full", "new": {"a": [1]}}], 0, "more"],
    [1.5, [["BlockStored", [7, 8], None, [1, 2, 3, 4], 2, None, None, None, None, None, "full", 1, 2]], 0],
    [1, [["BlockStored", [7, 8], None, [1, 2, 3, 4], 2], {"type": "NotKnownYet", "x": 1}, ["NorThis", 2]], 0],
])  # fmt: skip
def test_maps_and_arrays_are_read_at_both_levels(document: object) -> None:
    """Old and new vLLM, SGLang, and versions with fields and events that we do not know."""
    assert decode(pack(document)).events == (STORED_EVENT,)


def test_all_fields_of_a_stored_event_are_read() -> None:
    """By position and by name."""
    positional = ["BlockStored", [7], 6, [1, 2], 2, 3, "GPU", "adapter", [["image", 1]], 1, "full"]
    (event,) = decode(pack([0.0, [positional], 2])).events
    assert event == BlockStored(
        block_hashes=(7,), parent_block_hash=6, token_ids=(1, 2), block_size=2, lora_id=3, medium="GPU",
        lora_name="adapter", extra_keys=(["image", 1],), group_idx=1,
    )  # fmt: skip


def test_removed_and_cleared_are_read_in_both_shapes() -> None:
    """The other two events."""
    maps = [
        {"type": "BlockRemoved", "block_hashes": [5], "medium": "GPU", "group_idx": 0},
        {"type": "AllBlocksCleared"},
    ]
    arrays = [["BlockRemoved", [5], "GPU", 0], ["AllBlocksCleared"]]
    expected = (BlockRemoved(block_hashes=(5,), medium="GPU", group_idx=0), AllBlocksCleared())
    assert decode(pack([0.0, maps])).events == decode(pack([0.0, arrays])).events == expected


def test_a_hash_of_32_bytes_is_folded_to_its_low_64_bits() -> None:
    """Big-endian: the last 8 bytes; for parents as well."""
    digest = bytes(range(32))
    folded = int.from_bytes(digest[-8:], "big")
    stored = ["BlockStored", [digest], digest, [1], 1]
    removed = {"type": "BlockRemoved", "block_hashes": [digest]}
    first, second = decode(pack([0.0, [stored, removed], None])).events
    assert isinstance(first, BlockStored)
    assert isinstance(second, BlockRemoved)
    assert (first.block_hashes, first.parent_block_hash, second.block_hashes) == ((folded,), folded, (folded,))


def test_hashes_of_other_engines_and_algorithms_are_folded_too() -> None:
    """SGLang writes signed integers; vLLM with xxhash writes digests of 16 bytes."""
    digest = bytes(range(200, 216))
    removed = ["BlockRemoved", [-1, -(2**63), 2**63, digest]]
    (event,) = decode(pack([0.0, [removed], None])).events
    assert event == BlockRemoved(block_hashes=(2**64 - 1, 2**63, 2**63, int.from_bytes(digest[-8:], "big")))


def test_encoding_writes_what_vllm_writes() -> None:
    """A tagged map in a positional batch; before 0.24, positions all the way."""
    batch = EventBatch(ts=1.0, events=(BlockRemoved(block_hashes=(5,), medium="GPU"), AllBlocksCleared()), dp_rank=0)
    assert msgspec.msgpack.decode(encode(batch)) == [
        1.0,
        [
            {"type": "BlockRemoved", "block_hashes": [5], "medium": "GPU", "group_idx": None},
            {"type": "AllBlocksCleared"},
        ],
        0,
    ]
    assert msgspec.msgpack.decode(encode(batch, shape="arrays")) == [
        1.0,
        [["BlockRemoved", [5], "GPU", None], ["AllBlocksCleared"]],
        0,
    ]


@pytest.mark.parametrize("document", [
    5, None, "text", [], [1.0], {}, {"ts": 1.0}, ["now", []], [1.0, {}], [1.0, [5]], [1.0, [[]]], [1.0, [{}]],
    [1.0, [[5]]], [1.0, [{"type": 5}]], [1.0, [{"type": "BlockStored"}]], [1.0, [["BlockStored", [7]]]],
    [1.0, [["BlockRemoved", [b"long" * 17]]]], [1.0, [["BlockRemoved", [b"short"]]]], [1.0, [["BlockRemoved", ["7"]]]],
    [1.0, [["BlockRemoved", [1.5]]]], [1.0, [["BlockStored", [7], None, ["a"], 1]]],
    [1.0, [["BlockStored", [7], None, [1], 0]]], [1.0, [["BlockStored", [7], 1.5, [1], 1]]], [1.0, [], "rank"],
])  # fmt: skip
def test_what_is_no_batch_of_events_is_refused(document: object) -> None:
    """With one kind of error."""
    with pytest.raises(MalformedEvents):
        decode(pack(document))


@settings(deadline=None, max_examples=300)
@given(payload=st.binary(max_size=60))
def test_garbage_raises_one_kind_of_error(payload: bytes) -> None:
    """Never another: the sender may be any process."""
    with suppress(MalformedEvents):
        decode(payload)


@settings(deadline=None, max_examples=200)
@given(batch=BATCHES, data=st.data())
def test_a_damaged_batch_raises_nothing_else(batch: EventBatch, data: st.DataObject) -> None:
    """One byte changed, or the end cut off."""
    payload = bytearray(encode(batch))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))
    for damaged in (bytes(payload), bytes(payload[:at])):
        with suppress(MalformedEvents):
            decode(damaged)


def test_nesting_without_end_is_refused() -> None:
    """It would exhaust the stack."""
    with pytest.raises(MalformedEvents):
        decode(b"\x91" * 200_000)


def test_a_payload_or_batch_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, whatever a peer sends."""
    batch = EventBatch(ts=0.0, events=(AllBlocksCleared(),) * 3)
    monkeypatch.setattr(events, "MAX_EVENTS", 2)
    with pytest.raises(MalformedEvents, match="3 events, more than 2"):
        decode(encode(batch))
    monkeypatch.setattr(events, "MAX_PAYLOAD_BYTES", 10)
    with pytest.raises(MalformedEvents, match="more than 10"):
        decode(encode(batch))
