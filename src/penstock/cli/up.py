"""`penstock up`: serve and scale a deployment on this machine until told to end."""

import asyncio
import json as json_module
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import log_to_stderr, note, print_document, print_text, read_spec
from penstock.cli.result_table import result_table
from penstock.cli.signals import end_on_signals
from penstock.cli.up_screen import show
from penstock.control.deployment import Deployment, Places, scales_its_frontend
from penstock.errors import GiveUp
from penstock.messages.result import Result
from penstock.telemetry.report import SUMMARY, write_report
from penstock.telemetry.run_folder import begin_run_folder
from penstock.telemetry.run_info import RunInfo
from penstock.telemetry.summary import result_to_json


def up(
    spec: Annotated[Path, typer.Argument(help="Deployment file (examples/ has some).", show_default=False)],
    port: Annotated[int, typer.Option(help="Port of the gateway; 0: a free one.", min=0, max=65_535)] = 8000,
    web_port: Annotated[int, typer.Option(help="Port of the live page; 0: a free one.", min=0, max=65_535)] = 8080,
    host: Annotated[str, typer.Option(help="Address of both; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    for_s: Annotated[
        float | None, typer.Option("--for", help="Seconds to serve; default: until Ctrl-C.", min=0, show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the record: decisions, history, summary, report, logs.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one JSON document on stdout.")] = False,
) -> None:
    """Serve and scale a deployment on this machine.

    The first Ctrl-C lets requests in flight finish; a second one ends everything at once. Exit code 1 if a request
    failed, or if a pool could not be kept alive.
    """
    deployment = read_spec(spec)
    places = Places(host=host, port=port, web_port=web_port, out=out)
    log_to_stderr()
    if scales_its_frontend(deployment):
        note("penstock up: on one machine the frontend is one process; its scaling applies in a cluster")
    serving = Deployment(deployment, places)
    if out is not None:
        began_unix_s = serving.clock.began_unix_s
        info = RunInfo(
            command=("penstock", *sys.argv[1:]),
            spec=spec.read_text(encoding="utf-8"),
            started_unix_s=began_unix_s,
            utc_offset_s=time.localtime(began_unix_s).tm_gmtoff,
        )
        begin_run_folder(out, info)
    result, gave_up = asyncio.run(_serve(serving, for_s))
    _tell(result, out, json=json)
    if gave_up is not None:
        raise GiveUp(gave_up)
    if result.requests.failed:
        raise typer.Exit(1)


async def _serve(deployment: Deployment, for_s: float | None) -> tuple[Result, str | None]:
    end_on_signals(deployment.end)
    gave_up = None
    async with deployment:
        if await deployment.listening():
            note(f"penstock up: requests to {deployment.gateway_url}/v1, live page at {deployment.page_url}")
        screen = asyncio.create_task(show(deployment))
        try:
            await deployment.wait(for_s)
        except GiveUp as error:
            gave_up = str(error)
        finally:
            screen.cancel()
            await asyncio.wait([screen])
        note("penstock up: ending; Ctrl-C again to kill")
    return deployment.result, gave_up


def _tell(result: Result, out: Path | None, *, json: bool) -> None:
    document = result_to_json(result)
    if out is not None:
        (out / SUMMARY).write_text(json_module.dumps(document, indent=2) + "\n", encoding="utf-8")
        note(f"penstock up: the report is {write_report(out)}, its data beside it")
    if json:
        print_document(document)
    else:
        print_text(result_table(result))
