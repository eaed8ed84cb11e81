"""One JSON object a line: what the two JSONL formats share in taking a line apart."""

from typing import Annotated, Any

import msgspec
import orjson

from penstock.workload.bad_rows import BadRow, Fault
from penstock.workload.trace_lines import TraceLines, shown

MAX_BLOCK_ID = 2**63 - 1
_NUMBERS = (int, float)
_BLOCKS = tuple[Annotated[int, msgspec.Meta(ge=0, le=MAX_BLOCK_ID)], ...]


def parse_object(line: bytes, lines: TraceLines, number: int) -> dict[str, Any]:
    """Raises: BadRow, if the line is not one JSON object."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRow(
            Fault.NO_ROW,
            lines.at(number),
            f"not JSON ({error}): {shown(line)}",
            "give one JSON object a line; the line may be cut off",
        ) from error
    if not isinstance(value, dict):
        raise BadRow(Fault.NO_ROW, lines.at(number), f"not a JSON object: {shown(line)}", "give one JSON object a line")
    return value


def field_of(value: dict[str, Any], name: str, lines: TraceLines, number: int) -> Any:
    """Raises: BadRow, if the object has no such field."""
    try:
        return value[name]
    except KeyError:
        raise BadRow(
            Fault.FIELD_MISSING, lines.at(number), f"no field {name!r}", f"add {name}, as in the lines before"
        ) from None


def check_time(value: object, name: str, lines: TraceLines, number: int, *, most: float) -> float:
    """A time from 0 to `most`, as it stands. Raises: BadRow."""
    if type(value) in _NUMBERS and 0 <= value <= most:  # type: ignore[operator]  # no bool: its type is another
        return value  # type: ignore[return-value]
    raise BadRow(Fault.TIME, lines.at(number), f"{name} is {shown(value)}", f"give a number from 0 to {most:g}")


def check_blocks(
    value: object, name: str, input_tokens: int, block_tokens: int, lines: TraceLines, number: int
) -> tuple[int, ...]:
    """The ids of a prompt's blocks. Raises: BadRow, if one is no id, or there are more than the prompt can hold."""
    if not isinstance(value, list):
        raise BadRow(Fault.BLOCKS, lines.at(number), f"{name} is {shown(value)}", "give a list of whole numbers")
    try:
        blocks = msgspec.convert(value, _BLOCKS)  # ten times as fast as looking at each here
    except msgspec.ValidationError as error:
        wrong = next(block for block in value if type(block) is not int or not 0 <= block <= MAX_BLOCK_ID)
        fix = f"give whole numbers from 0 to {MAX_BLOCK_ID}"
        raise BadRow(Fault.BLOCKS, lines.at(number), f"{name} holds {shown(wrong)}", fix) from error
    room = -(-input_tokens // block_tokens)
    if len(blocks) > room:
        raise BadRow(
            Fault.BLOCKS,
            lines.at(number),
            f"{name} has {len(blocks)} blocks, but {input_tokens} tokens fill {room} of {block_tokens}",
            "cut the list or correct the length",
        )
    return blocks
