"""The webhook's part of the operator's process: mirrors of what owns and is owned, trust, server."""

import asyncio
import logging
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError

from penstock.kubernetes.kinds import cluster_kind_of, kind_of
from penstock.kubernetes.mirror import Mirror
from penstock.operator.install import OPERATOR
from penstock.operator.objects import API_VERSION, DEPLOYMENT_LABEL, PLANNER
from penstock.operator.owners import HPA, POLICY, SCALED_OBJECT, Known
from penstock.operator.webhook.review import Writers, review
from penstock.operator.webhook.server import serve
from penstock.operator.webhook.trust import RETRY_S, Trust

log = logging.getLogger(__name__)

_WHO_AM_I = cluster_kind_of("authentication.k8s.io/v1", "SelfSubjectReview")
_SCALERS = {
    HPA: ("autoscaling/v2", HPA),
    SCALED_OBJECT: ("keda.sh/v1alpha1", SCALED_OBJECT),
    POLICY: (API_VERSION, POLICY),
}


async def run_webhook(
    client: AsyncClient,
    listening: socket.socket,
    *,
    own_namespace: str,
    namespace: str | None,
    writers: Mapping[str, Iterable[str]],
) -> None:
    """For ever.

    Args:
        own_namespace: the operator's. namespace: that it watches; None: all.
        writers: further user names that may write a count, by owner.
    """

    def mirror(api_version: str, kind: str, labels: Mapping[str, str | None]) -> Mirror:
        return Mirror(client, kind_of(api_version, kind), namespace=namespace, labels=labels, changed=lambda _: None)

    pools = mirror(API_VERSION, "ComponentPool", {})
    deployments = mirror("apps/v1", "Deployment", {DEPLOYMENT_LABEL: None})
    scalers = {kind: mirror(*of, {}) for kind, of in _SCALERS.items()}
    known = Known(pool=pools.get, deployment=deployments.get, scalers=scalers)
    trust = Trust(client, own_namespace, clock=lambda: datetime.now(UTC))
    allowed = await _writers(client, own_namespace, writers)

    def answer(request: Mapping[str, Any]) -> str | None:
        if not (pools.listed and deployments.listed):
            return None  # as if it were not there yet
        return review(request, known, allowed)

    async with asyncio.TaskGroup() as group:
        for one in (pools, deployments, *scalers.values()):
            group.create_task(one.run())
        group.create_task(trust.keep())
        await trust.shown.wait()
        await serve(answer, trust.context, listening)


async def _writers(client: AsyncClient, own_namespace: str, more: Mapping[str, Iterable[str]]) -> Writers:
    """Operator and planner by their accounts; this process by what the API server calls it."""
    usual = Writers(
        operator=frozenset({_account(own_namespace, OPERATOR), await _who_am_i(client)}),
        planner=frozenset({_account(own_namespace, PLANNER)}),
    )
    return Writers(**{owner: getattr(usual, owner) | frozenset(more.get(owner, ())) for owner in usual.__slots__})


async def _who_am_i(client: AsyncClient) -> str:
    """The user name of this process; waits until the API server says it."""
    while True:
        try:
            said = await client.create(_WHO_AM_I.from_dict({}))
            return str(said["status"]["userInfo"]["username"])
        except (ApiError, httpx2.HTTPError, OSError) as error:
            trouble = error.status.message if isinstance(error, ApiError) else type(error).__name__
            log.warning("asking who I am: %s; again in %g s", trouble, RETRY_S)
        await asyncio.sleep(RETRY_S)


def _account(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"
