"""Names KV blocks by content: each full block's hash covers its own tokens and, through its parent, all before it.

Equal hashes therefore mean equal prefixes, so a set of hashes is a prefix index. Does not know engines: an engine's own
hashes (sha256, Python's) stay with the engine; whoever reads its events names the blocks anew from their token ids.

Theory: XXH3-64 of the block's token ids as little-endian 4-byte integers, seeded with the parent's hash; the root's
seed is the salt. Seeding chains without copying: 0.17 µs a block. XXH3 is not cryptographic: someone who chooses token
ids may find two equal hashes, which can misroute a request but never mixes up the engine's caches.

Source: https://github.com/Cyan4973/xxHash (XXH3, seeded variant)
"""

import sys
from array import array
from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

TOKEN_BYTES = 4  # ids fit: the largest vocabularies have about 260,000 entries
MAX_HASH = 2**64 - 1


def block_hashes(token_ids: Sequence[int], block_tokens: int, *, salt: int = 0) -> list[int]:
    """Hash every full block of a prompt; a last, partial block has no name.

    Args:
        token_ids: each 0 to 2**32 - 1; an `array("I")` saves the conversion.
        block_tokens: tokens per block, at least 1.
        salt: 0 to 2**64 - 1; different salts share no block (tenants, adapters).
    Returns: chained hashes, root first, each 0 to 2**64 - 1; shape (len(token_ids) // block_tokens,).
    Raises: ValueError, for a token id or salt out of range.
    """
    return extend_hashes(salt, token_ids, block_tokens)


def extend_hashes(parent: int, token_ids: Sequence[int], block_tokens: int) -> list[int]:
    """Hash the full blocks that follow a block named `parent`; see `block_hashes`.

    `block_hashes(a + b, n)` equals `block_hashes(a, n) + extend_hashes(block_hashes(a, n)[-1], b, n)`,
    where `a` fills its blocks.
    """
    if block_tokens < 1:
        raise ValueError(f"a block holds at least one token, not {block_tokens}")
    if not 0 <= parent <= MAX_HASH:
        raise ValueError(f"a salt or parent hash is an unsigned 64-bit integer, not {parent}")
    data = memoryview(_packed(token_ids))
    stride = block_tokens * TOKEN_BYTES
    hashes: list[int] = []
    append = hashes.append
    for end in range(stride, len(data) + 1, stride):
        parent = xxh3_64_intdigest(data[end - stride : end], parent)
        append(parent)
    return hashes


def _packed(token_ids: Sequence[int]) -> bytes:
    try:
        packed = array("I", token_ids)
    except (OverflowError, TypeError) as error:
        raise ValueError(f"a token id is an integer from 0 to 2**32 - 1: {error}") from error
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
