"""One request of a workload: when it comes, how long it is, and which prefix it shares with others.

A prompt is named by blocks: block `i` of a prompt holds its tokens from `i * block_tokens` on, and equal ids mean equal
text. The last block may be cut short by `input_tokens`; it is then the beginning of that block's text. Where the
blocks end before the prompt does, the rest belongs to this request alone. So a conversation keeps its ids as it
grows, and an engine finds exactly the prefix that a real one would.
"""

from dataclasses import dataclass

BLOCK_TOKENS = 512  # of Mooncake's hash_ids, and the default everywhere here
MAX_TOKENS = 10_000_000  # longest context of any model spec here; more in a trace is a mistake


@dataclass(slots=True)  # not frozen: one per request on the hot path, and freezing takes five times as long
class Arrival:
    """One request. Nobody changes one.

    Args:
        arrival_s: seconds since the start of the trace; never falls from one arrival to the next.
        input_tokens, output_tokens: at least 1.
        prefix_blocks: ids of the prompt's blocks, first token first; may be empty.
        block_tokens: tokens of one block.
    """

    arrival_s: float
    input_tokens: int
    output_tokens: int
    prefix_blocks: tuple[int, ...] = ()
    block_tokens: int = BLOCK_TOKENS
