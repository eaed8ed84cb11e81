"""Decode side of a hand-over: reads a prompt's KV from the prefill worker that holds it, in simulated time.

The holder is asked first, so that a worker that is gone is known at once; then the transfer takes the spec's latency
and rate, while the blocks stay pinned over there; then they are freed. Whatever goes wrong ends within `GIVE_UP_S`,
and fails that request alone.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from penstock.errors import ClientError, UpstreamError
from penstock.messages.engine_spec import KvTransferSpec

GIVE_UP_S = 5.0  # as vLLM with NIXL: an unreachable holder is an error after 5 s
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9:._-]{0,254}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}")  # a path segment that leads nowhere else


@dataclass(frozen=True, slots=True)
class RemoteRef:
    """Where a prompt's KV is."""

    host: str
    port: int
    name: str


def remote_ref(params: Mapping[str, Any] | None) -> RemoteRef | None:
    """What `kv_transfer_params` of a decode request say; None, if they name no holder. Raises: ClientError."""
    if not params or params.get("do_remote_prefill") is not True:
        return None
    host, port, name = params.get("remote_host"), params.get("remote_port"), params.get("remote_request_id")
    if (
        not (isinstance(host, str) and _HOST.fullmatch(host))
        or not (type(port) is int and 0 < port < 65_536)
        or not (isinstance(name, str) and _NAME.fullmatch(name))
    ):
        raise ClientError(
            "kv_transfer_params need remote_host, remote_port and remote_request_id.", param="kv_transfer_params"
        )
    return RemoteRef(host, port, name)


class RemoteKv:
    """Reads from any prefill worker. Close it."""

    def __init__(self, spec: KvTransferSpec) -> None:
        self._spec = spec
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=GIVE_UP_S))

    async def read(self, ref: RemoteRef, *, prompt_tokens: int) -> tuple[int, float]:
        """Bring a prompt's KV here.

        Returns: prompt tokens that the prefill worker found cached; seconds that the transfer took.
        Raises: UpstreamError, if it cannot be read; ClientError, if it is another prompt's.
        """
        host = f"[{ref.host}]" if ":" in ref.host else ref.host
        url = f"http://{host}:{ref.port}/internal/kv/{ref.name}"
        started = time.monotonic()
        try:
            async with self._session.get(url) as response:
                if response.status != 200:
                    raise UpstreamError(f"reading remote KV: the prefill worker answered {response.status}", status=500)
                held = await response.json()
            tokens, cached = int(held["prompt_tokens"]), int(held["cached_tokens"])
            if tokens != prompt_tokens:
                raise ClientError(
                    f"kv_transfer_params are of a prompt of {tokens} tokens, this one has {prompt_tokens}.",
                    param="kv_transfer_params",
                )
            took_s = self._spec.latency_s + tokens / self._spec.tokens_per_second
            await asyncio.sleep(max(0.0, started + took_s - time.monotonic()))
            async with self._session.delete(url) as response:
                if response.status != 200:
                    raise UpstreamError(
                        f"reading remote KV: it was given up during the read ({response.status})", status=500
                    )
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, TypeError, ValueError) as error:
            raise UpstreamError(f"reading remote KV: {type(error).__name__}", status=500) from error
        return cached, time.monotonic() - started

    async def close(self) -> None:
        await self._session.close()
