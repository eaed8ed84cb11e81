"""Prefill side of a hand-over: which prompts' KV is kept, under which name, until it is read or given up.

The name goes to the client in `kv_transfer_params`, in vLLM's (NixlConnector's) fields. Here `remote_host` and
`remote_port` are this worker's own HTTP address, since there is no RDMA side channel to simulate.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.worker.settings import WorkerSettings
from penstock.worker.ticket import Ticket


@dataclass(frozen=True, slots=True)
class Pinned:
    """KV of one prompt."""

    ticket_id: int
    prompt_tokens: int
    cached_tokens: int
    timer: asyncio.TimerHandle


class PinnedKv:
    """What waits to be read. Args: release: gives the blocks back to the engine."""

    def __init__(self, settings: WorkerSettings, release: Callable[[int], None]) -> None:
        self._settings = settings
        self._release = release
        self._host = _reachable(settings.host)
        self._pinned: dict[str, Pinned] = {}
        self.expired = 0

    def __len__(self) -> int:
        return len(self._pinned)

    def pin(self, ticket: Ticket, name: str) -> dict[str, Any]:
        """Keep a prefilled prompt's KV. Returns: the `kv_transfer_params` that lead to it."""
        settings = self._settings
        timer = asyncio.get_running_loop().call_later(settings.kv_pin_timeout_s, self._expire, name)
        self._pinned[name] = Pinned(ticket.id, ticket.asked.prompt_tokens, ticket.cached_tokens, timer)
        blocks = -(-ticket.asked.prompt_tokens // settings.engine.block_tokens)
        return {
            "do_remote_prefill": True,
            "do_remote_decode": False,
            "remote_block_ids": list(range(blocks)),
            "remote_engine_id": settings.id,
            "remote_request_id": name,
            "remote_host": self._host,
            "remote_port": settings.port,
        }

    def look(self, name: str) -> Pinned | None:
        """The KV of that name, if it is still here."""
        return self._pinned.get(name)

    def free(self, name: str) -> bool:
        """It was read: give its blocks back. False, if there is none of that name."""
        pinned = self._pinned.pop(name, None)
        if pinned is None:
            return False
        pinned.timer.cancel()
        self._release(pinned.ticket_id)
        return True

    def _expire(self, name: str) -> None:
        if self.free(name):
            self.expired += 1


def _reachable(host: str) -> str:
    """An address by which others find this machine, where it listens on all of them."""
    if host not in ("0.0.0.0", "::", ""):
        return host
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"
