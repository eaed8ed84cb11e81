"""Mooncake's traces: `timestamp` (ms), `input_length`, `output_length`, `hash_ids` (each a prefix block of 512 tokens).

The published traces are quantised to 3 s: up to 28 requests bear one instant, which no server ever saw. A file whose
first lines all stand within 10 ms of multiples of 3 s, with repeats, is taken as such, and each request is placed at
random (by the seed) within its 3 s, in order. Other files, with real milliseconds, are left as they are.

Source: https://github.com/kvcache-ai/Mooncake (FAST 2025), FAST25-release/traces.
"""

import random
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import IO

import orjson

from penstock.errors import InputError
from penstock.workload.arrival import BLOCK_TOKENS, Arrival
from penstock.workload.bad_rows import BadRow
from penstock.workload.json_line import check_blocks, check_time, field_of, parse_object
from penstock.workload.trace_lines import TraceLines, check_step, check_tokens

NAME = "mooncake"
QUANTUM_MS = 3000
_NEAR_MS = 10  # the published traces say 2999, 3000, 3001, ... for one instant
_LOOK_AHEAD = 1000  # lines by which quantisation is judged
_MAX_TOGETHER = 100_000  # requests of one quantum held at once; more is a wrong unit of time
_MAX_MS = 1e12  # 30 years
_SORT = "jq -sc 'sort_by(.timestamp)[]' FILE"


def matches(first_line: bytes) -> bool:
    """Whether a file with this first line is ours."""
    try:
        value = orjson.loads(first_line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and "timestamp" in value and "input_length" in value


def read(lines: TraceLines, *, seed: int) -> Iterator[Arrival]:
    """Yield the requests; `seed` places those of one quantum. Raises: InputError, at the first bad line."""
    arrivals = _parse(lines)
    head = [arrival for _, arrival in zip(range(_LOOK_AHEAD), arrivals, strict=False)]
    everything = chain(head, arrivals)
    return _spread(everything, lines, seed) if _is_quantised(head) else everything


def write(arrivals: Iterable[Arrival], file: IO[bytes]) -> int:
    """Write them, rounded to 1 ms. Returns: how many. Raises: InputError, if their blocks are not of 512 tokens."""
    count = 0
    for arrival in arrivals:
        if arrival.prefix_blocks and arrival.block_tokens != BLOCK_TOKENS:
            raise InputError(
                f"request {count + 1}",
                f"its prefix blocks have {arrival.block_tokens} tokens, Mooncake's have {BLOCK_TOKENS}",
                f"synthesize with --block-tokens {BLOCK_TOKENS}, or convert to penstock",
            )
        row = {
            "timestamp": round(arrival.arrival_s * 1000),
            "input_length": arrival.input_tokens,
            "output_length": arrival.output_tokens,
            "hash_ids": arrival.prefix_blocks,
        }
        file.write(orjson.dumps(row) + b"\n")
        count += 1
    return count


def _parse(lines: TraceLines) -> Iterator[Arrival]:
    previous_s = 0.0
    for number, line in lines:
        try:
            row = parse_object(line, lines, number)
            time_ms = check_time(field_of(row, "timestamp", lines, number), "timestamp", lines, number, most=_MAX_MS)
            time_s = time_ms / 1000
            if not previous_s <= time_s <= previous_s + lines.longest_silence_s:
                check_step(time_s, previous_s, lines.at(number), _SORT)
            tokens = check_tokens(field_of(row, "input_length", lines, number), "input_length", lines.at(number))
            arrival = Arrival(
                time_s,
                tokens,
                check_tokens(field_of(row, "output_length", lines, number), "output_length", lines.at(number)),
                check_blocks(row.get("hash_ids", []), "hash_ids", tokens, BLOCK_TOKENS, lines, number),
            )
        except BadRow as bad:
            lines.bad(bad)
            continue
        previous_s = time_s
        yield arrival


def _quantum(arrival: Arrival) -> int:
    return round(arrival.arrival_s * 1000 / QUANTUM_MS)


def _is_quantised(head: list[Arrival]) -> bool:
    if len({_quantum(arrival) for arrival in head}) == len(head):
        return False
    return all(abs(arrival.arrival_s * 1000 - _quantum(arrival) * QUANTUM_MS) <= _NEAR_MS for arrival in head)


def _spread(arrivals: Iterable[Arrival], lines: TraceLines, seed: int) -> Iterator[Arrival]:
    draw = random.Random(seed)
    for quantum, group in groupby(arrivals, key=_quantum):
        together = [arrival for _, arrival in zip(range(_MAX_TOGETHER), group, strict=False)]
        if len(together) == _MAX_TOGETHER:
            raise InputError(
                lines.name,
                f"{_MAX_TOGETHER} requests at {together[0].arrival_s:g} s",
                "give `timestamp` in milliseconds",
            )
        start_s = quantum * QUANTUM_MS / 1000
        for offset, arrival in zip(sorted(draw.random() for _ in together), together, strict=True):
            yield Arrival(
                start_s + offset * QUANTUM_MS / 1000, arrival.input_tokens, arrival.output_tokens, arrival.prefix_blocks
            )
