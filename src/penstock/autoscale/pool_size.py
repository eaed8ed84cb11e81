"""How many replicas a demand takes, where one holds the more the more of them there are.

A router sends a request to where least waits. So of two replicas one that computes a long prompt is passed by, and of
four hardly anybody ever waits behind one: the longer and the more uneven the prompts, the more a pool holds than as
many single ones. More than `MOST_BESIDE` make little difference. A count is enough if it holds the demand as a pool of
that size, whatever the size is now, so nothing goes in and out because of what follows from going.
"""

import math
from collections.abc import Callable

MOST_BESIDE = 4  # a pool of eight holds up to 7 % more where prompts are long, and takes longer to rehearse
ROUNDING = 1e-9  # 6.0 requests/s at 2.0 a replica are 3 replicas


def beside(count: int) -> int:
    """Of how many replicas a pool of that size is rehearsed: 1, 2 or 4, never more than there are."""
    return min(MOST_BESIDE, 1 << max(count, 1).bit_length() - 1)


def replicas_for(rate: float, holds: Callable[[int], float], *, about: int) -> int:
    """The least count that holds a demand.

    Args:
        rate: requests/s. holds: requests/s that one replica holds, by how many are `beside`; rising. Asked seldom.
        about: where to begin.
    """
    among = beside(about)
    count = math.ceil(rate / holds(among) - ROUNDING)
    while count >= 2 * among and among < MOST_BESIDE:
        among *= 2
        count = max(math.ceil(rate / holds(among) - ROUNDING), among)  # fewer would not be so many
    while count < among and among > 1:
        among //= 2
        count = min(math.ceil(rate / holds(among) - ROUNDING), 2 * among)
    return count
