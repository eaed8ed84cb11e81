"""One of several processes leads: whoever holds a Lease, and renews it.

As Kubernetes' own leader election: a holder that has not renewed for the lease's duration has lost it, by the clock of
whoever looks, from when it saw the last renewal; so clocks need not agree. Two who write at once are told apart by the
object's version. Source: k8s.io/client-go/tools/leaderelection.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError

from penstock.kubernetes.kinds import kind_of

log = logging.getLogger(__name__)

DURATION_S = 15
RENEW_S = 10  # of the duration, after which a leader that cannot renew steps down
RETRY_S = 2
_LEASE = kind_of("coordination.k8s.io/v1", "Lease")


class Lease:
    """One process's part in the election. Args: identity: unique among them."""

    def __init__(
        self, client: AsyncClient, namespace: str, name: str, identity: str, *, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._seen: tuple[str, float] = ("", 0.0)  # the lease's version, and when it was first seen

    async def lead(self) -> None:
        """Return once this process leads."""
        while not await self._take():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(RETRY_S)
        log.info("leading as %s", self._identity)

    async def keep(self) -> None:
        """Renew for ever; return once the lease is lost."""
        renewed_s = self._clock()
        while self._clock() - renewed_s < RENEW_S:
            await asyncio.sleep(RETRY_S)
            if await self._take():
                renewed_s = self._clock()
        log.warning("the lease %s is lost", self._name)

    async def _take(self) -> bool:
        """Take or renew it. Returns: whether it is ours now."""
        try:
            async with asyncio.timeout(RENEW_S / 2):
                return await self._try()
        except ApiError as error:
            if error.status.code not in (404, 409):
                log.warning("lease %s: %s", self._name, error.status.message)
        except (httpx2.HTTPError, OSError) as error:  # TimeoutError among them
            log.warning("lease %s: %s", self._name, type(error).__name__)
        return False

    async def _try(self) -> bool:
        try:
            found = await self._client.get(_LEASE, self._name, namespace=self._namespace)
        except ApiError as error:
            if error.status.code != 404:
                raise
            meta = {"name": self._name, "namespace": self._namespace}
            made = _LEASE.from_dict({"metadata": meta, "spec": self._spec({}, _now())})
            await self._client.create(made)
            return True
        version = found["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = version, self._clock()
        spec = found.get("spec") or {}
        if not may_take(spec, self._identity, unchanged_for_s=self._clock() - self._seen[1]):
            return False
        found["spec"] = self._spec(spec, _now())
        await self._client.replace(found)  # 409, if another was faster
        return True

    def _spec(self, before: Mapping[str, Any], now: str) -> dict[str, Any]:
        ours = before.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_S,
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (not ours and bool(before)),
        }


def may_take(spec: Mapping[str, Any], identity: str, *, unchanged_for_s: float) -> bool:
    """Whether a lease is ours, nobody's, or has not been renewed for its duration. Pure."""
    holder = spec.get("holderIdentity")
    return not holder or holder == identity or unchanged_for_s > spec.get("leaseDurationSeconds", DURATION_S)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
