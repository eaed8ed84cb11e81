"""The operator's process: client, election, signals."""

import asyncio
import contextlib
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Coroutine
from functools import partial

import aiohttp
from lightkube import AsyncClient
from lightkube.core.exceptions import ConfigError

from penstock.control.health import open_session
from penstock.errors import InputError
from penstock.kubernetes.lease import Lease
from penstock.operator.operator import Operator
from penstock.operator.settings import OperatorSettings

_LEASE = "penstock-operator"


async def serve(settings: OperatorSettings, *, namespace: str | None, lease_namespace: str | None) -> None:
    """Run until SIGTERM or Ctrl-C. Raises: InputError, without a cluster."""
    try:
        client = AsyncClient()
    except ConfigError as error:
        raise InputError(
            "penstock operator", f"no cluster is configured ({error})", "run it in a pod, or set KUBECONFIG"
        ) from error
    work = asyncio.create_task(_serve(client, settings, namespace, lease_namespace))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


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
