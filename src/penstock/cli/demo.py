"""`penstock demo`: the whole of it in two minutes, without GPU or cluster.

A deployment of simulated workers is brought up as `penstock up` does, `penstock load` replays a bursty stretch of an
Azure production trace against it from a process of its own, and what came of it is written as a run's folder with its
report.
"""

import asyncio
import json as json_module
import logging
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from penstock.cli.output import log_to_stderr, note, print_document, print_text
from penstock.cli.result_table import result_table
from penstock.cli.signals import end_on_signals
from penstock.cli.up_screen import show
from penstock.control.child import TETHER_VARIABLE, own_program
from penstock.control.deployment import Deployment, Places
from penstock.errors import GiveUp
from penstock.messages.parse_spec import parse_spec
from penstock.messages.result import Result
from penstock.messages.spec import SloSpec
from penstock.telemetry.report import write_report
from penstock.telemetry.requests_file import read_requests, write_requests
from penstock.telemetry.run_info import RunInfo, write_run_info
from penstock.telemetry.summary import Summary, result_to_json

SPEC_FILE = Path(__file__).with_name("demo.yaml")  # ships with the package; examples/demo.yaml is a link to it
TRACE = "azure-code-excerpt"
START_S, STRETCH_S = 295.0, 168.0  # of the excerpt: steady, silent, three bursts of up to five times as much, silent
SPEED = 1.6
SEED = 0
ANSWER_TIMEOUT_S = 30.0  # with what follows, three minutes are never passed
READY_WITHIN_S = 20.0
SETTLE_WITHIN_S = 18.0  # for the pool to come down after the last request
_RECORDS = ("summary.json", "requests.jsonl", "decisions.jsonl", "history.jsonl", "run.json", "report.html")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Demo:
    """What came of it: the client's own document, and what the deployment knows."""

    served: Result
    client: dict[str, Any]
    began_unix_s: float
    static_peak_usd: float | None


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the record and the report.")] = Path("out/demo"),
    port: Annotated[int, typer.Option(help="Port of the gateway; another if it is taken.", min=0, max=65_535)] = 8000,
    web_port: Annotated[int, typer.Option(help="Port of the live page; another if taken.", min=0, max=65_535)] = 8080,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")] = False,
) -> None:
    """Watch a deployment follow real traffic: two minutes, no GPU, no cluster.

    Exit code 1 if a request failed.
    """
    text = SPEC_FILE.read_text(encoding="utf-8")
    deployment = parse_spec(text, source=str(SPEC_FILE))
    log_to_stderr()
    logging.getLogger("penstock").setLevel(logging.WARNING)  # the screen tells what is decided, and why
    for name in _RECORDS:
        (out / name).unlink(missing_ok=True)
    places = Places(port=free_or_any(port, "gateway"), web_port=free_or_any(web_port, "live page"), out=out)
    came = asyncio.run(_play(Deployment(deployment, places), out))
    result = _record(came, out, deployment.spec.slo, text)
    report = write_report(out)
    if json:
        print_document(orjson.loads((out / "summary.json").read_bytes()))
    else:
        print_text(result_table(result, notes=_notes(came, result)))
        note(f"penstock demo: the report is {report}, its data beside it")
    if result.requests.failed:
        raise typer.Exit(1)


async def _play(deployment: Deployment, out: Path) -> _Demo:
    """Bring it up, replay the trace, let it settle, take it down."""
    ended = asyncio.Event()

    def end() -> None:
        ended.set()
        deployment.end()  # the second time it kills

    end_on_signals(end)
    async with deployment:
        note(f"penstock demo: about two minutes; the live page is at {deployment.page_url}")
        screen = asyncio.create_task(show(deployment))
        try:
            await _ready(deployment, out)
            client = await _load(deployment, out, ended)
            await _settle(deployment, ended)
            await deployment.wait(0)  # has a pool given up?
        finally:
            screen.cancel()
            await asyncio.wait([screen])
    costs = deployment.ledger.costs()
    return _Demo(
        served=deployment.result,
        client=client,
        began_unix_s=deployment.clock.began_unix_s,
        static_peak_usd=costs.static_peak_usd if costs is not None else None,
    )


async def _ready(deployment: Deployment, out: Path) -> None:
    """Wait for the first worker. Raises: GiveUp, if it does not come; Abort, if we were told to end before."""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            ready = await deployment.begun()
    except TimeoutError as error:
        raise GiveUp(f"the first worker was not ready within {READY_WITHIN_S:g} s; see {out / 'logs'}") from error
    if not ready:
        await deployment.wait()
        raise typer.Abort


async def _load(deployment: Deployment, out: Path, ended: asyncio.Event) -> dict[str, Any]:
    """Replay the trace from another process; Ctrl-C ends it with what it has. Returns: its document. Raises: GiveUp."""
    slo = deployment.spec.slo
    arguments = own_program(
        "load",
        deployment.gateway_url,
        *("--trace", TRACE, "--start-s", f"{START_S:g}", "--duration-s", f"{STRETCH_S:g}"),
        *("--speed", f"{SPEED:g}", "--seed", f"{SEED}"),
        *("--ttft-s", f"{slo.ttft_s:g}", "--itl-s", f"{slo.itl_s:g}", "--percentile", f"{slo.percentile:g}"),
        *("--window-s", f"{slo.window_s:g}", "--timeout-s", f"{ANSWER_TIMEOUT_S:g}"),
        *("--out", str(out), "--json"),
    )
    with (out / "logs" / "load.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            process_group=0,  # a Ctrl-C on the terminal is ours to pass on
            env={**os.environ, TETHER_VARIABLE: str(os.getpid())},
        )
    answer = asyncio.create_task(process.communicate())
    stop = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait((answer, stop), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            process.send_signal(signal.SIGTERM)
        stdout, _ = await answer
    finally:
        stop.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return dict(orjson.loads(stdout))
    except orjson.JSONDecodeError as error:
        raise GiveUp(f"the load client ended without a result; see {out / 'logs' / 'load.log'}") from error


async def _settle(deployment: Deployment, ended: asyncio.Event) -> None:
    """Wait until each pool is down to its minimum, so that the record shows it; not for long."""
    until_s = deployment.clock.now_s() + SETTLE_WITHIN_S
    least = {pool.name: pool.initial_replicas for pool in deployment.spec.pools}
    while not ended.is_set() and deployment.clock.now_s() < until_s:
        seen = deployment.latest.observation
        if seen is not None and all(
            pool.ready <= least[pool.component] and not pool.draining and not pool.starting for pool in seen.pools
        ):
            return
        await asyncio.sleep(0.2)


def _record(came: _Demo, out: Path, slo: SloSpec, spec: str) -> Result:
    """Write requests on the deployment's clock, the summary and how the run was made. Returns: the summary."""
    shift_s = came.client["client"]["began_unix_s"] - came.began_unix_s
    path, half = out / "requests.jsonl", out / ".requests.half"
    summary = Summary(slo)
    shifted = (
        replace(outcome, intended_s=outcome.intended_s + shift_s, sent_s=outcome.sent_s + shift_s)
        for outcome in read_requests(path)
    )

    def counted() -> Any:
        for outcome in shifted:
            summary.add(outcome)
            yield outcome

    write_requests(half, counted())
    half.replace(path)
    served = came.served
    result = summary.result(
        gpu_hours=served.gpu_hours,
        cost_usd=served.cost_usd,
        replicas=served.replicas,
        scale_events=served.scale_events,
        wall_s=served.wall_s,
    )
    document = {**result_to_json(result), "client": came.client["client"]}
    if came.static_peak_usd is not None:
        document["static_peak_usd"] = came.static_peak_usd
    (out / "summary.json").write_text(json_module.dumps(document, indent=2) + "\n", encoding="utf-8")
    offset_s = time.localtime(came.began_unix_s).tm_gmtoff
    write_run_info(
        out,
        RunInfo(
            command=("penstock", *sys.argv[1:]),
            spec=spec,
            seed=SEED,
            started_unix_s=came.began_unix_s,
            utc_offset_s=offset_s,
        ),
    )
    return result


def _notes(came: _Demo, result: Result) -> list[tuple[str, str]]:
    notes = []
    if came.static_peak_usd and result.cost_usd is not None:
        saved = came.static_peak_usd - result.cost_usd
        notes.append(
            (
                "saved",
                f"${saved:.2f} of the ${came.static_peak_usd:.2f} that the peak would cost all the time "
                f"({saved / came.static_peak_usd:.0%})",
            )
        )
    notes.append(("client", f"late by {came.client['client']['late_p99_s'] * 1000:.1f} ms at p99"))
    return notes


def free_or_any(port: int, what: str) -> int:
    """That port if it is free, else any; says so. The race is lost by an error, not by harm."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
            return port
        except OSError as error:
            note(f"penstock demo: port {port} for the {what} cannot be had ({error.strerror}); taking another")
            return 0
