"""`penstock planner`: the control loop alone. Scales a cluster's pools, advises on processes, or replays a run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.output import log_to_stderr, note, print_document, print_text, read_spec
from penstock.cli.signals import end_on_signals
from penstock.errors import InputError
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.spec import DeploymentBody

if TYPE_CHECKING:  # needs the Kubernetes client
    from penstock.control.keda_counts import KedaCounts


def planner(
    spec: Annotated[
        Path | None, typer.Argument(help="Deployment file; none with --cluster.", show_default=False)
    ] = None,
    gateway: Annotated[str | None, typer.Option(help="Base URL of the gateway to watch.", show_default=False)] = None,
    worker: Annotated[
        list[str] | None,
        typer.Option(help="COMPONENT=URL of a worker to watch; may be given more than once.", show_default=False),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Instead: decide a recorded history.jsonl again.", show_default=False)
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Instead: scale each pool of a cluster that is `by: planner`.")
    ] = False,
    namespace: Annotated[
        str | None, typer.Option(help="With --cluster: this namespace only. Default: all.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --cluster: Events say what would be done; nothing is.")
    ] = False,
    keda_listen: Annotated[
        str | None,
        typer.Option(
            help="With --cluster: HOST:PORT at which KEDA asks for pools that it scales and the planner decides.",
            show_default=False,
        ),
    ] = None,
    for_s: Annotated[
        float | None, typer.Option("--for", help="Seconds to watch; default: until Ctrl-C.", min=0, show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for decisions.jsonl (and history.jsonl).", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with all decisions as one JSON list on stdout.")] = False,
) -> None:
    """Say how many replicas each pool should have, and why. Changes nothing, but with --cluster.

    A replay makes the decisions of the recorded run again, byte for byte.
    """
    if cluster:
        if spec is not None or gateway is not None or replay is not None or worker or json:
            raise InputError(
                "--cluster", "given with a file, --gateway, --worker, --replay or --json", "leave these out"
            )
        log_to_stderr()
        if dry_run and keda_listen is not None:
            raise InputError("--keda-listen", "given with --dry-run, which answers nobody", "leave one out")
        asyncio.run(_scale(namespace, dry_run, keda_listen, for_s, out))
        return
    if namespace is not None or dry_run or keda_listen is not None:
        given = "--namespace, --dry-run, --keda-listen"
        raise InputError(given, "given without --cluster", "add it, or leave them out")
    if spec is None:
        raise InputError("SPEC", "missing", "name a deployment file, or give --cluster")
    from penstock.autoscale.sentences import explain
    from penstock.telemetry.feed import decision_to_json

    deployment = read_spec(spec).spec
    if (gateway is None) == (replay is None):
        what = "neither is given" if gateway is None else "both are given"
        raise InputError("--gateway, --replay", what, "watch with --gateway URL, or decide again with --replay FILE")
    if replay is not None:
        made = _replay(deployment, replay, out)
    else:
        assert gateway is not None
        log_to_stderr()
        workers = _workers(deployment, worker or ())
        made = asyncio.run(_watch(deployment, _base_url(gateway, "--gateway"), workers, for_s, out))
    if json:
        print_document([decision_to_json(decision) for decision in made])
    else:
        print_text(explain(made))


async def _scale(
    namespace: str | None, dry_run: bool, keda_listen: str | None, for_s: float | None, out: Path | None
) -> None:
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

        def listeners(key: tuple[str, str]) -> list[Listener]:
            if out is None:
                return []
            journal = Journal(out / key[0] / key[1])
            stack.callback(journal.close)
            return [journal]

        session = await stack.enter_async_context(open_session())
        for_keda = await stack.enter_async_context(_keda_asks(keda_listen)) if keda_listen is not None else None
        planner = ClusterPlanner(
            client, session, namespace=namespace, listeners=listeners, dry_run=dry_run, for_keda=for_keda
        )
        work = asyncio.create_task(planner.run())
        end_on_signals(work.cancel)
        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(work, for_s)


@contextlib.asynccontextmanager
async def _keda_asks(address: str) -> "AsyncIterator[KedaCounts]":
    """Counts for KEDA, and the server at which it asks for them. Raises: InputError."""
    import time

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


def _replay(spec: DeploymentBody, history: Path, out: Path | None) -> list[Decision]:
    from penstock.control.loop import Decisions
    from penstock.telemetry.journal import DECISIONS, decision_line, read_history

    decisions = Decisions.of(spec)
    made: list[Decision] = []
    with ExitStack() as stack:
        lines = None
        if out is not None:
            try:
                out.mkdir(parents=True, exist_ok=True)
                lines = stack.enter_context((out / DECISIONS).open("wb"))
            except OSError as error:
                raise InputError(
                    f"--out {out}", f"cannot be written ({error.strerror})", "name a folder that can"
                ) from error
        for observation in read_history(history):
            for work in decisions.due(observation):
                made.append(work())
                if lines is not None:
                    lines.write(decision_line(made[-1]))
    return made


class _Said:
    """Keeps the decisions, and says each change."""

    def __init__(self) -> None:
        self.made: list[Decision] = []

    def observed(self, observation: Observation) -> None:
        """Nothing to say."""

    def decided(self, decision: Decision) -> None:
        """Keep it; say it, if it would change something."""
        self.made.append(decision)
        if decision.desired != decision.current:
            note(f"{decision.time_s:7.0f} s  {decision.component}: {decision.reason}")


async def _watch(
    spec: DeploymentBody, gateway: str, workers: Mapping[str, Sequence[str]], for_s: float | None, out: Path | None
) -> list[Decision]:
    from penstock.control.clocks import MonotonicClock
    from penstock.control.health import open_session
    from penstock.control.loop import Decisions, Listener, in_thread, run
    from penstock.control.watched import Watched
    from penstock.telemetry.journal import Journal

    said = _Said()
    listeners: list[Listener] = [said]
    clock = MonotonicClock()
    async with contextlib.AsyncExitStack() as stack:
        if out is not None:
            journal = Journal(out)
            stack.callback(journal.close)
            listeners.append(journal)
        session = await stack.enter_async_context(open_session())
        world = Watched(spec, clock, session, gateway=gateway, workers=workers)
        loop = asyncio.create_task(run(world, Decisions.of(spec), clock, listeners, until_s=for_s, decider=in_thread))
        end_on_signals(loop.cancel)
        note(f"penstock planner: watching {gateway}; changes nothing")
        with contextlib.suppress(asyncio.CancelledError):
            await loop
    return said.made


def _workers(spec: DeploymentBody, given: Sequence[str]) -> dict[str, list[str]]:
    names = [pool.name for pool in spec.pools]
    workers: dict[str, list[str]] = {name: [] for name in names}
    for item in given:
        name, equals, url = item.partition("=")
        if not equals or name not in workers:
            raise InputError(f"--worker {item}", "no such component", f"give {names[0]}=http://127.0.0.1:9000")
        workers[name].append(_base_url(url, f"--worker {item}"))
    return workers


def _base_url(url: str, where: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise InputError(where, "not a URL", "give one such as http://127.0.0.1:8000")
    return url.rstrip("/")
