"""Before a pool shrinks: asks its pods what they carry, and marks those that are to go.

Nothing here holds a scale-down up: a pod that does not answer within a second, or cannot be marked, is left as it is.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

import aiohttp
import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from penstock.control import gateway_view, worker_view
from penstock.control.cluster_pods import ClusterPod, parse_pod
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.health import scrape
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Object
from penstock.messages.worker import WorkerState
from penstock.operator.deletion_cost import ANNOTATION, PodLoad, marks
from penstock.operator.desired.engines import HTTP_PORT
from penstock.operator.objects import COMPONENT_LABEL, MANAGED_BY

log = logging.getLogger(__name__)

_IN_FLIGHT = (worker_view.RUNNING, worker_view.WAITING, gateway_view.IN_FLIGHT)  # of engines, of gateways
_WANTED = frozenset((*_IN_FLIGHT, worker_view.PREFIX_HITS))
_POD = kind_of("v1", "Pod")


class ScaleDown:
    """Of any pool."""

    def __init__(self, client: AsyncClient, session: aiohttp.ClientSession) -> None:
        self._client, self._session = client, session

    async def prepare(self, namespace: str, pods: Iterable[Object], wanted: int) -> None:
        """Mark the pods that go, when `wanted` are left of these."""
        now = datetime.now(UTC)
        stated = {pod["metadata"]["name"]: pod["metadata"].get("annotations") or {} for pod in pods}
        found = (parse_pod(pod, component_label=COMPONENT_LABEL, port=HTTP_PORT, now=now) for pod in pods)
        alive = [pod for pod in found if pod is not None and pod.state is not WorkerState.DRAINING]
        if len(alive) <= wanted or wanted == 0:
            return
        loads = await asyncio.gather(*(self._load(pod, stated[pod.name].get(ANNOTATION)) for pod in alive))
        due = marks(loads, wanted)
        await asyncio.gather(*(self._mark(namespace, name, cost) for name, cost in due.items()))

    async def _load(self, pod: ClusterPod, stated: str | None) -> PodLoad:
        ready = pod.state is WorkerState.READY and pod.url is not None
        text = await scrape(self._session, pod.url) if ready and pod.url is not None else None
        said = parse_exposition(text, _WANTED) if text is not None else Scrape()
        counts = [value for name in _IN_FLIGHT if (value := said.total(name)) is not None]
        return PodLoad(
            name=pod.name,
            ready=ready,
            age_s=pod.age_s,
            in_flight=sum(counts) if counts else None,
            cached_tokens_per_s=(said.total(worker_view.PREFIX_HITS) or 0.0) / max(1.0, pod.age_s),
            stated=stated,
        )

    async def _mark(self, namespace: str, name: str, cost: str) -> None:
        try:
            await self._client.patch(
                _POD,
                name,
                {"metadata": {"annotations": {ANNOTATION: cost}}},
                namespace=namespace,
                patch_type=PatchType.MERGE,
                field_manager=MANAGED_BY,
            )
        except (ApiError, httpx2.HTTPError, OSError) as error:
            said = error.status.message if isinstance(error, ApiError) else type(error).__name__
            log.warning("marking pod %s/%s: %s", namespace, name, said)
