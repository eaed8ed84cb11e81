"""Penstock's own traces: `arrival_s, input_tokens, output_tokens`, and if prefixes are shared `prefix_blocks` (and
`block_tokens`, where it is not 512). Exact: what is written is read back equal. Unknown fields are passed over.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import IO, Any

import orjson

from penstock.workload.arrival import BLOCK_TOKENS, Arrival
from penstock.workload.bad_rows import BadRow
from penstock.workload.json_line import check_blocks, check_time, field_of, parse_object
from penstock.workload.prefix_chain import PrefixChain
from penstock.workload.trace_lines import TraceLines, check_step, check_tokens

NAME = "penstock"
_MAX_S = 1e9  # 30 years
_SORT = "jq -sc 'sort_by(.arrival_s)[]' FILE"


def matches(first_line: bytes) -> bool:
    """Whether a file with this first line is ours."""
    try:
        value = orjson.loads(first_line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and "arrival_s" in value


def read(lines: TraceLines, *, seed: int) -> Iterator[Arrival]:
    """Yield the requests. `seed` is not needed: nothing here is drawn. Raises: InputError, at the first bad line."""
    del seed
    previous_s = 0.0
    chain = PrefixChain()
    for number, line in lines:
        try:
            arrival = _row(line, lines, number)
            if not previous_s <= arrival.arrival_s <= previous_s + lines.longest_silence_s:
                check_step(arrival.arrival_s, previous_s, lines.at(number), _SORT)
        except BadRow as bad:
            lines.bad(bad)
            continue
        previous_s = arrival.arrival_s
        blocks = arrival.prefix_blocks
        if blocks and (chained := chain.chained(blocks)) is not blocks:
            arrival = replace(arrival, prefix_blocks=chained)
        yield arrival


def _row(line: bytes, lines: TraceLines, number: int) -> Arrival:
    row = parse_object(line, lines, number)
    arrival_s = check_time(field_of(row, "arrival_s", lines, number), "arrival_s", lines, number, most=_MAX_S)
    input_tokens = check_tokens(field_of(row, "input_tokens", lines, number), "input_tokens", lines.at(number))
    output_tokens = check_tokens(field_of(row, "output_tokens", lines, number), "output_tokens", lines.at(number))
    block_tokens = BLOCK_TOKENS
    if "block_tokens" in row:
        block_tokens = check_tokens(row["block_tokens"], "block_tokens", lines.at(number))
    blocks: tuple[int, ...] = ()
    if "prefix_blocks" in row:
        blocks = check_blocks(row["prefix_blocks"], "prefix_blocks", input_tokens, block_tokens, lines, number)
    return Arrival(float(arrival_s), input_tokens, output_tokens, blocks, block_tokens)


def write(arrivals: Iterable[Arrival], file: IO[bytes]) -> int:
    """Write them. Returns: how many."""
    count = 0
    for arrival in arrivals:
        row: dict[str, Any] = {
            "arrival_s": arrival.arrival_s,
            "input_tokens": arrival.input_tokens,
            "output_tokens": arrival.output_tokens,
        }
        if arrival.prefix_blocks:
            row["prefix_blocks"] = arrival.prefix_blocks
            if arrival.block_tokens != BLOCK_TOKENS:
                row["block_tokens"] = arrival.block_tokens
        file.write(orjson.dumps(row) + b"\n")
        count += 1
    return count
