"""Whether the planner answers where KEDA is to ask it, and what became of an HPA that was made while it did not.

KEDA asks for an external scaler's metrics as it makes the HPA, and makes one without metrics if nobody answers; to
Kubernetes that means 80 % of CPU, and KEDA looks again only when ScaledObject or HPA change. So no ScaledObject is
applied before the planner listens; and an HPA without the metric (KEDA began anew while the planner was away) is taken
away once it does, for KEDA to make it again.
"""

import asyncio
import contextlib
from collections.abc import Mapping
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


def made_blindly(hpa: Mapping[str, Any]) -> bool:
    """Whether an HPA that KEDA made for an external scaler has none of its metrics. Pure."""
    return all(metric["type"] != "External" for metric in hpa["spec"].get("metrics") or ())


def hpa_of(scaled_object: str) -> str:
    """The name that KEDA gives the HPA of a ScaledObject."""
    return f"keda-hpa-{scaled_object}"


def asks_external(thing: Mapping[str, Any]) -> bool:
    """Whether an object is a ScaledObject of which someone else is the scaler. Pure."""
    if thing["kind"] != "ScaledObject":
        return False
    return any("scalerAddress" in trigger["metadata"] for trigger in thing["spec"]["triggers"])


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
