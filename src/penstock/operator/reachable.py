"""Whether the planner answers where KEDA is to ask it.

KEDA asks for an external scaler's metrics as it makes the HPA, and makes one without metrics if nobody answers; to
Kubernetes that means 80 % of CPU, and KEDA looks again only when the ScaledObject changes. So none is applied before
the planner listens.
"""

import asyncio
import contextlib
from typing import Any

_TIMEOUT_S = 2.0


class Unreachable(ConnectionError):
    """Nobody listens there yet; to be tried again."""


async def until_reachable(thing: dict[str, Any]) -> None:
    """Look, for a ScaledObject that asks an external scaler. Raises: Unreachable, if nobody listens."""
    if thing["kind"] != "ScaledObject":
        return
    for trigger in thing["spec"]["triggers"]:
        address = trigger["metadata"].get("scalerAddress")
        if address is not None and not await _listens(address):
            name = f"ScaledObject {thing['metadata']['name']}"
            raise Unreachable(f"{name}: waits for the planner, which does not answer at {address}")


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, ValueError):  # TimeoutError among them
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
