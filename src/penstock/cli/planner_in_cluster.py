"""`penstock planner --cluster`: its parts, put together."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.cli.output import note
from penstock.cli.signals import end_on_signals
from penstock.clock import Clock
from penstock.errors import InputError
from penstock.messages.spec import DeploymentBody

if TYPE_CHECKING:  # these need the Kubernetes client
    import aiohttp

    from penstock.control.keda_counts import KedaCounts
    from penstock.control.pod_metrics import Metrics
    from penstock.control.prometheus import Token
    from penstock.telemetry.planner_metrics import PlannerMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class InCluster:
    """What was asked for. Args: prometheus: its base URL; None: pods are asked. identity: `azure`, or none."""

    namespace: str | None
    dry_run: bool
    keda_listen: str | None
    prometheus: str | None
    window_s: float | None
    token_file: Path | None
    identity: str | None
    metrics_port: int | None
    out: Path | None

    def __post_init__(self) -> None:
        """Raises: InputError, for options that contradict one another."""
        if self.dry_run and self.keda_listen is not None:
            raise InputError("--keda-listen", "given with --dry-run, which answers nobody", "leave one out")
        for name, given in (
            ("--prometheus-window", self.window_s),
            ("--prometheus-token-file", self.token_file),
            ("--prometheus-identity", self.identity),
        ):
            if given is not None and self.prometheus is None:
                raise InputError(name, "given without --prometheus", "add its URL, or leave this out")
        if self.identity is not None and self.token_file is not None:
            raise InputError("--prometheus-identity", "given with --prometheus-token-file", "leave one out")
        if self.identity not in (None, "azure"):
            raise InputError(f"--prometheus-identity {self.identity}", "not known", "it can be azure")


async def scale(asked: InCluster, for_s: float | None) -> None:
    """Plan until a signal, or for some seconds. Raises: InputError."""
    try:
        from lightkube import AsyncClient
        from lightkube.core.exceptions import ConfigError
    except ImportError as error:
        raise InputError(
            "--cluster", "the Kubernetes client is not installed", "pip install 'penstock[kubernetes]'"
        ) from error
    from penstock.control.cluster_planner import ClusterPlanner
    from penstock.control.health import open_session
    from penstock.control.loop import Listener
    from penstock.telemetry.journal import Journal

    try:
        client = AsyncClient()
    except ConfigError as error:
        raise InputError(
            "--cluster", f"no cluster is configured ({error})", "run it in a pod, or set KUBECONFIG"
        ) from error
    async with contextlib.AsyncExitStack() as stack:
        told = _serve_metrics(asked.metrics_port, stack)

        def listeners(key: tuple[str, str]) -> list[Listener]:
            found: list[Listener] = []
            if told is not None:
                found.append(told.listener(*key))
            if asked.out is not None:
                journal = Journal(asked.out / key[0] / key[1])
                stack.callback(journal.close)
                found.append(journal)
            return found

        session = await stack.enter_async_context(open_session())
        metrics = _metrics(asked, session)
        for_keda = None
        if asked.keda_listen is not None:
            for_keda = await stack.enter_async_context(_keda_asks(asked.keda_listen))
        planner = ClusterPlanner(
            client,
            metrics,
            session,
            namespace=asked.namespace,
            listeners=listeners,
            dry_run=asked.dry_run,
            for_keda=for_keda,
        )
        work = asyncio.create_task(planner.run())
        end_on_signals(work.cancel)
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(work, for_s)


def _metrics(
    asked: InCluster, session: "aiohttp.ClientSession"
) -> "Callable[[tuple[str, str], DeploymentBody, Clock], Metrics]":
    """Where the figures of each deployment come from. Raises: InputError."""
    from penstock.control.pod_metrics import PodMetrics
    from penstock.control.prometheus import Prometheus
    from penstock.control.prometheus_metrics import WINDOW_S, PrometheusMetrics

    if asked.prometheus is None:
        return lambda key, spec, clock: PodMetrics(spec.slo, clock, session)
    server = Prometheus(session, asked.prometheus, _token(asked))
    window_s = asked.window_s or WINDOW_S
    return lambda key, spec, clock: PrometheusMetrics(server, key, spec, window_s=window_s)


def _serve_metrics(port: int | None, stack: contextlib.AsyncExitStack) -> "PlannerMetrics | None":
    """What the loops tell, at a port while the stack lasts. Raises: InputError, if it is taken."""
    if port is None:
        return None
    from prometheus_client import start_http_server

    from penstock.telemetry.planner_metrics import PlannerMetrics

    told = PlannerMetrics(time.monotonic)
    try:
        server, thread = start_http_server(port, registry=told.registry)
    except OSError as error:
        raise InputError(
            f"--metrics-port {port}", f"cannot listen there ({error.strerror})", "name a free port"
        ) from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    stack.callback(end)
    return told


def _token(asked: InCluster) -> "Token | None":
    from penstock.control.prometheus_tokens import AzureToken, FileToken

    if asked.identity is not None:
        return AzureToken.of(clock=time.monotonic)
    return FileToken(asked.token_file) if asked.token_file is not None else None


@contextlib.asynccontextmanager
async def _keda_asks(address: str) -> "AsyncIterator[KedaCounts]":
    """Counts for KEDA, and the server at which it asks for them. Raises: InputError."""
    from penstock.control.keda_counts import KedaCounts

    try:
        from penstock.control.keda_scaler import serving
    except ImportError as error:
        raise InputError("--keda-listen", "gRPC is not installed", "pip install 'penstock[keda]'") from error
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65_536):
        raise InputError(f"--keda-listen {address}", "not an address", "give one such as 0.0.0.0:6000")
    counts = KedaCounts(time.monotonic)
    async with serving(counts, address) as listening:
        note(f"penstock planner: KEDA asks at {host}:{listening}")
        yield counts
