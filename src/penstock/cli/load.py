"""`penstock load`: replays a workload against a server, open loop, and says what its clients would have seen."""

import asyncio
import contextlib
import json as json_module
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated, Any

import typer
import uvloop
from pydantic import ValidationError

from penstock.cli.load_screen import show
from penstock.cli.output import note, print_document, print_text
from penstock.cli.result_table import result_table
from penstock.cli.workload_options import (
    DurationOption,
    SkipBadOption,
    SpeedOption,
    StartOption,
    TraceOption,
    tell_skipped,
)
from penstock.errors import InputError
from penstock.load.body import Endpoint
from penstock.load.pace import OpenLoop
from penstock.load.run import LoadPlan, LoadReport, LoadRun
from penstock.load.target import base_url, headers_for
from penstock.messages.outcome import RequestOutcome
from penstock.messages.spec import SloSpec
from penstock.simulator.workload_source import WorkloadSource
from penstock.telemetry.requests_file import outcome_to_line
from penstock.telemetry.summary import result_to_json
from penstock.workload.arrival import Arrival


def load(
    url: Annotated[str, typer.Argument(help="The server's base, with or without /v1.")],
    trace: TraceOption,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    skip_bad: SkipBadOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Of prompts and jitter; a new one misses what caches hold.")] = 0,
    model: Annotated[str | None, typer.Option(help="Default: the first that the server lists.")] = None,
    ttft_s: Annotated[float, typer.Option(help="Target of the time to first token.")] = 0.5,
    itl_s: Annotated[float, typer.Option(help="Target of the gap between tokens.")] = 0.05,
    percentile: Annotated[float, typer.Option(help="The percentile that is to meet the targets.")] = 95,
    window_s: Annotated[float, typer.Option(help="Windows over which attainment is judged.")] = 60,
    endpoint: Annotated[Endpoint, typer.Option(help="Which API to use.")] = Endpoint.COMPLETIONS,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the API key.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Folder of the model's tokenizer, for exact lengths.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Longest wait for one answer; bounds the tail too.")] = 120.0,
    max_in_flight: Annotated[int, typer.Option(min=1, max=60_000, help="Past it, requests fail unsent.")] = 4096,
    out: Annotated[Path | None, typer.Option(help="Folder for requests.jsonl and summary.json.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Send each request of a trace at its time, never waiting for answers.

    Latency counts from the instant at which a request was due. Exit code 1 if any request failed.
    """
    if not 0 < timeout_s < float("inf"):
        raise InputError("--timeout-s", f"is {timeout_s:g}", "give a number of seconds above 0")
    plan = LoadPlan(
        base=base_url(url),
        slo=_slo(ttft_s=ttft_s, itl_s=itl_s, percentile=percentile, window_s=window_s),
        model=model,
        endpoint=endpoint,
        headers=headers_for(api_key_env),
        tokenizer=tokenizer,
        seed=seed,
        timeout_s=timeout_s,
        max_in_flight=max_in_flight,
    )
    source = WorkloadSource(
        trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
    )
    arrivals = source.arrivals()
    with ExitStack() as stack:
        record = None if out is None else stack.enter_context(_begin_record(out))
        last_s = None if duration_s is None else duration_s / speed
        report = uvloop.run(_run(plan, arrivals, record, last_s))
    _tell(report, out, tell_skipped(source, "penstock load"), json=json)
    if report.broken is not None:
        raise report.broken
    requests = report.result.requests
    if requests.failed or not requests.offered:
        raise typer.Exit(1)


async def _run(
    plan: LoadPlan, arrivals: Iterator[Arrival], record: IO[bytes] | None, last_s: float | None
) -> LoadReport:
    """The run, shown on stderr; the first Ctrl-C or SIGTERM ends it with what it has, the second at once."""
    tasks: list[asyncio.Task[None]] = []

    def started(run: LoadRun, loop: OpenLoop) -> None:
        tasks.append(asyncio.create_task(show(run, loop, last_s)))

        def end() -> None:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().remove_signal_handler(number)
            loop.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, end)

    def ended(outcome: RequestOutcome) -> None:
        if record is not None:
            record.write(outcome_to_line(outcome))

    try:
        return await LoadRun(plan, ended, started).run(arrivals)
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _tell(report: LoadReport, out: Path | None, skipped: dict[str, Any], *, json: bool) -> None:
    document = {**result_to_json(report.result), "client": asdict(report.client), **skipped}
    if out is not None:
        (out / "summary.json").write_text(json_module.dumps(document, indent=2) + "\n", encoding="utf-8")
    if json:
        print_document(document)
    else:
        late_ms = report.client.late_p99_s * 1000
        print_text(result_table(report.result, notes=[("client", f"late by {late_ms:.1f} ms at p99")]))
    for warning in report.warnings:
        note(f"penstock load: {warning}")


def _slo(**targets: float) -> SloSpec:
    try:
        return SloSpec(**targets)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = f"--{str(first['loc'][0]).replace('_', '-')}"
        message = first["msg"]
        raise InputError(flag, f"is {first['input']:g}", f"{message[:1].lower()}{message[1:]}") from error


def _begin_record(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "requests.jsonl").open("wb")
    except OSError as error:
        raise InputError(
            f"--out {folder}", f"cannot be written ({error.strerror})", "give a folder of yours"
        ) from error
