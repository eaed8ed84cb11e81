"""The operator's process: client, election, signals; and the webhook, which every replica serves, leading or not."""

import asyncio
import contextlib
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial

import aiohttp
from lightkube import AsyncClient
from lightkube.core.exceptions import ConfigError

from penstock.control.health import open_session
from penstock.errors import InputError
from penstock.kubernetes.lease import Lease
from penstock.operator.operator import Operator
from penstock.operator.settings import OperatorSettings
from penstock.operator.webhook.process import run_webhook
from penstock.operator.webhook.server import listener

_LEASE = "penstock-operator"


async def serve(
    settings: OperatorSettings,
    *,
    namespace: str | None,
    lease_namespace: str | None,
    webhook_port: int | None = None,
    writers: Mapping[str, Iterable[str]] | None = None,
) -> None:
    """Run until SIGTERM or Ctrl-C.

    Args:
        webhook_port: None: no webhook; else a lease namespace is needed, where its Secret lies.
        writers: further user names that may write a count, by owner.
    Raises: InputError, without a cluster, or if the port is taken.
    """
    try:
        client = AsyncClient()
    except ConfigError as error:
        raise InputError(
            "penstock operator", f"no cluster is configured ({error})", "run it in a pod, or set KUBECONFIG"
        ) from error
    listening = listener(webhook_port) if webhook_port is not None else None
    work = asyncio.create_task(_both(client, settings, namespace, lease_namespace, listening, writers or {}))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _both(
    client: AsyncClient,
    settings: OperatorSettings,
    namespace: str | None,
    lease_namespace: str | None,
    listening: socket.socket | None,
    writers: Mapping[str, Iterable[str]],
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_serve(client, settings, namespace, lease_namespace))
        if listening is not None and lease_namespace is not None:
            hook = run_webhook(client, listening, own_namespace=lease_namespace, namespace=namespace, writers=writers)
            group.create_task(hook)


async def _serve(
    client: AsyncClient, settings: OperatorSettings, namespace: str | None, lease_namespace: str | None
) -> None:
    async with open_session() as session:
        operate = partial(_operate, client, session, settings, namespace)
        await (operate() if lease_namespace is None else _while_leading(client, lease_namespace, operate))


async def _operate(
    client: AsyncClient, session: aiohttp.ClientSession, settings: OperatorSettings, namespace: str | None
) -> None:
    await Operator(client, session, settings, namespace=namespace).run()


async def _while_leading(
    client: AsyncClient, lease_namespace: str, operate: Callable[[], Coroutine[None, None, None]]
) -> None:
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    lease = Lease(client, lease_namespace, _LEASE, identity, clock=time.monotonic)
    while True:
        await lease.lead()
        acting = asyncio.create_task(operate())
        keeping = asyncio.create_task(lease.keep())
        done, _ = await asyncio.wait((acting, keeping), return_when=asyncio.FIRST_COMPLETED)
        for task in (acting, keeping):
            task.cancel()
        await asyncio.gather(acting, keeping, return_exceptions=True)
        if acting in done:
            acting.result()
