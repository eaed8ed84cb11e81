"""`penstock planner`: the control loop alone. Scales a cluster's pools, advises on processes, or replays a run."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import log_to_stderr, note, print_document, print_text, read_spec
from penstock.cli.signals import end_on_signals
from penstock.errors import InputError
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.spec import DeploymentBody


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
    prometheus: Annotated[
        str | None,
        typer.Option(
            help="With --cluster: base URL of a Prometheus to ask for metrics. Default: the pods are asked.",
            show_default=False,
        ),
    ] = None,
    prometheus_window_s: Annotated[
        float | None,
        typer.Option(
            "--prometheus-window",
            help="Seconds over which its rates are taken: four scrapes at least. Default: 60.",
            min=1,
            max=3600,
            show_default=False,
        ),
    ] = None,
    prometheus_token_file: Annotated[
        Path | None, typer.Option(help="File with a bearer token for it, read at each call.", show_default=False)
    ] = None,
    prometheus_identity: Annotated[
        str | None,
        typer.Option(help="`azure`: ask it as the pod's workload identity.", show_default=False),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            help="With --cluster: port of /metrics: what each loop wants. Default: none.",
            min=1,
            max=65_535,
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
        from penstock.cli.planner_in_cluster import InCluster, scale

        asked = InCluster(
            namespace=namespace,
            dry_run=dry_run,
            keda_listen=keda_listen,
            prometheus=_base_url(prometheus, "--prometheus") if prometheus is not None else None,
            window_s=prometheus_window_s,
            token_file=prometheus_token_file,
            identity=prometheus_identity,
            metrics_port=metrics_port,
            out=out,
        )
        asyncio.run(scale(asked, for_s))
        return
    for name, given in (
        ("--namespace", namespace is not None),
        ("--dry-run", dry_run),
        ("--metrics-port", metrics_port is not None),
        ("--keda-listen", keda_listen is not None),
        ("--prometheus", prometheus is not None),
        ("--prometheus-window", prometheus_window_s is not None),
        ("--prometheus-token-file", prometheus_token_file is not None),
        ("--prometheus-identity", prometheus_identity is not None),
    ):
        if given:
            raise InputError(name, "given without --cluster", "add it, or leave this out")
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
