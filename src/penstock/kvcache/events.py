"""KV events as vLLM publishes them: decodes every shape that its versions send, encodes the newest.

Pure: bytes in, events out. Knows neither sockets nor sequence numbers, nor what an index makes of the events.

On the wire a batch is msgpack `[ts, [event, ...], dp_rank]`. An event is a tagged map (`{"type": "BlockStored", ...}`,
vLLM 0.24 and later) or a positional array (`["BlockStored", ...]`, up to 0.23, and SGLang). Batch and events are read
in either shape, mixed as they come; fields and kinds of event that we do not know are skipped, so that a newer
engine does not blind us. A hash is a 64-bit integer (vLLM's without sign, SGLang's with one) or the bytes of a digest
(32 of sha256, 16 of xxh3-128); both are folded to their low 64 bits, big-endian, as vLLM itself folds them.

Whatever else arrives raises `MalformedEvents`, never anything else: the sender may be any process.

Sources: vllm/distributed/kv_events.py and docs.vllm.ai, "KV Events".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

import msgspec

from penstock.errors import PenstockError

# A batch holds what one step stored: 16 MiB are 3 million token ids, a hundred times the largest token budget.
MAX_PAYLOAD_BYTES = 16 * 2**20
MAX_EVENTS = 65_536  # in a batch; one step stores at most one run of blocks per sequence
_LOW_64 = 2**64 - 1  # msgpack has no larger integers, nor any below -2**63
_HASH_BYTES = (8, 64)  # from a 64-bit hash to sha512


class MalformedEvents(PenstockError):
    """A payload that is not a batch of KV events, or is too large to be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStored:
    """Full blocks that are now cached: a run of children, the first under `parent_block_hash` (None: a root).

    `token_ids` holds the tokens of all the blocks in order. `extra_keys`, as the engine sent them, tell blocks apart
    that have equal tokens (images, adapters, salts): with them, hashes of the token ids alone are not enough.
    """

    block_hashes: tuple[int, ...]
    parent_block_hash: int | None
    token_ids: tuple[int, ...]
    block_size: int
    lora_id: int | None = None
    medium: str | None = None
    lora_name: str | None = None
    extra_keys: tuple[object, ...] | None = None
    group_idx: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRemoved:
    """Blocks that are no longer cached."""

    block_hashes: tuple[int, ...]
    medium: str | None = None
    group_idx: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllBlocksCleared:
    """The whole cache was emptied."""


Event = BlockStored | BlockRemoved | AllBlocksCleared


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """What one engine step did to its cache, in order.

    Args:
        ts: the engine's clock, in seconds; for display only.
        dp_rank: which data-parallel engine behind this endpoint; None if there is one.
    """

    ts: float
    events: tuple[Event, ...]
    dp_rank: int | None = None


Shape = Literal["maps", "arrays"]


def encode(batch: EventBatch, *, shape: Shape = "maps") -> bytes:
    """Write a batch as vLLM does: `maps` as 0.24 and later, `arrays` as up to 0.23."""
    write = _as_map if shape == "maps" else _as_array
    events = [write(event) for event in batch.events]
    return msgspec.msgpack.encode([batch.ts, events, batch.dp_rank])


def decode(payload: bytes | bytearray | memoryview) -> EventBatch:
    """Read a batch, in whatever shape. Raises: MalformedEvents."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MalformedEvents(f"reading KV events: {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
    try:
        document = msgspec.msgpack.decode(payload)
        batch = _converted(document, _BatchMap, _BatchArray)
        if len(batch.events) > MAX_EVENTS:
            raise MalformedEvents(f"reading KV events: {len(batch.events)} events, more than {MAX_EVENTS}")
        events = tuple(event for event in map(_event, batch.events) if event is not None)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedEvents(f"reading KV events: {error}") from error
    return EventBatch(ts=batch.ts, events=events, dp_rank=batch.data_parallel_rank)


# The two shapes of each struct. The order of fields is the wire's.
class _BatchMap(msgspec.Struct):
    ts: float
    events: list[Any]
    data_parallel_rank: int | None = None


class _BatchArray(_BatchMap, array_like=True):
    pass


class _StoredMap(msgspec.Struct):
    block_hashes: list[int | bytes]
    parent_block_hash: int | bytes | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None = None
    medium: str | None = None
    lora_name: str | None = None
    extra_keys: list[Any] | None = None
    group_idx: int | None = None


class _StoredArray(_StoredMap, array_like=True, tag="BlockStored"):
    pass


class _RemovedMap(msgspec.Struct):
    block_hashes: list[int | bytes]
    medium: str | None = None
    group_idx: int | None = None


class _RemovedArray(_RemovedMap, array_like=True, tag="BlockRemoved"):
    pass


_Map = TypeVar("_Map", bound=msgspec.Struct)


def _converted(document: object, as_map: type[_Map], as_array: type[_Map]) -> _Map:
    if isinstance(document, dict):
        return msgspec.convert(document, as_map)
    return msgspec.convert(document, as_array)


def _event(document: object) -> Event | None:
    """One event; None for a kind that we do not know."""
    if isinstance(document, Mapping):
        kind = document.get("type")
    elif isinstance(document, Sequence) and document:
        kind = document[0]
    else:
        raise MalformedEvents(f"reading KV events: an event is a map or an array, not {type(document).__name__}")
    if not isinstance(kind, str):
        raise MalformedEvents("reading KV events: an event without its type")
    if kind == "BlockStored":
        stored = _converted(document, _StoredMap, _StoredArray)
        if stored.block_size < 1:
            raise MalformedEvents(f"reading KV events: a block of {stored.block_size} tokens")
        return BlockStored(
            block_hashes=tuple(map(_folded, stored.block_hashes)),
            parent_block_hash=None if stored.parent_block_hash is None else _folded(stored.parent_block_hash),
            token_ids=tuple(stored.token_ids),
            block_size=stored.block_size,
            lora_id=stored.lora_id,
            medium=stored.medium,
            lora_name=stored.lora_name,
            extra_keys=None if stored.extra_keys is None else tuple(stored.extra_keys),
            group_idx=stored.group_idx,
        )
    if kind == "BlockRemoved":
        removed = _converted(document, _RemovedMap, _RemovedArray)
        return BlockRemoved(
            block_hashes=tuple(map(_folded, removed.block_hashes)), medium=removed.medium, group_idx=removed.group_idx
        )
    return AllBlocksCleared() if kind == "AllBlocksCleared" else None


def _folded(block_hash: int | bytes) -> int:
    if isinstance(block_hash, int):
        return block_hash & _LOW_64
    if not _HASH_BYTES[0] <= len(block_hash) <= _HASH_BYTES[1]:
        raise MalformedEvents(f"reading KV events: a block hash of {len(block_hash)} bytes")
    return int.from_bytes(block_hash, "big") & _LOW_64


def _as_map(event: Event) -> dict[str, object]:
    return {"type": type(event).__name__, **{field.name: getattr(event, field.name) for field in fields(event)}}


def _as_array(event: Event) -> list[object]:
    return [type(event).__name__, *(getattr(event, field.name) for field in fields(event))]
