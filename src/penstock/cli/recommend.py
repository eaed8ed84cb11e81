"""`penstock recommend`: the cheapest GPUs, parallelism, mode and replicas that hold the targets for a workload."""

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from penstock.cli.output import note, print_document, print_text
from penstock.cli.profiles import read_profile, read_shape
from penstock.cli.recommend_table import recommend_table
from penstock.cli.workload_options import (
    DurationOption,
    SkipBadOption,
    SpeedOption,
    StartOption,
    TraceOption,
    tell_skipped,
)
from penstock.errors import InputError
from penstock.hardware.gpus import Precision
from penstock.hardware.profiled import SHIPPED
from penstock.hardware.vm_sizes import VM_SIZES, VmSize, vm_size
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.spec import SloSpec
from penstock.recommend.answer import Answer
from penstock.recommend.answer import recommend as find
from penstock.recommend.deployment_file import deployment_file
from penstock.recommend.document import document
from penstock.recommend.page import page
from penstock.recommend.question import Question
from penstock.simulator.workload_source import WorkloadSource


def recommend(
    model: Annotated[str, typer.Option(help="A known model, or its config.json.", show_default=False)],
    trace: TraceOption,
    ttft_s: Annotated[float, typer.Option(help="Target of the time to first token, in seconds.", show_default=False)],
    itl_s: Annotated[float, typer.Option(help="Target of the inter-token latency, in seconds.", show_default=False)],
    percentile: Annotated[float, typer.Option(min=50, max=99.9, help="Percentile that has to be within them.")] = 95.0,
    start_s: StartOption = 0.0,
    duration_s: DurationOption = None,
    speed: SpeedOption = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    skip_bad: SkipBadOption = False,
    sku: Annotated[
        list[str] | None, typer.Option(help="An Azure VM size to choose from; may be repeated. Default: all known.")
    ] = None,
    engine: Annotated[Literal["vllm", "sglang"], typer.Option(help="The engine.")] = "vllm",
    precision: Annotated[Precision, typer.Option(help="Of the weights.")] = "bf16",
    profile: Annotated[str, typer.Option(help="`shipped`, or a file of `profile fit`.")] = SHIPPED,
    finalists: Annotated[int, typer.Option(min=1, max=100, help="Options simulated in a round.")] = 6,
    out: Annotated[Path | None, typer.Option(help="Folder for the page, the data and the deployment file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Say on which GPUs, how cut, in which mode and with how many replicas the targets are held at the least cost.

    What cannot be is left out with its reason (memory, TTFT, ITL); the rest is ranked by a rehearsal of one replica,
    and the cheapest are simulated over the workload, down to the fewest replicas that hold 99 % of the windows. Prices
    are of whole VMs. With --out it also writes a deployment file to go on with.
    """
    question = Question(
        model=model,
        shape=read_shape(model, where="--model"),
        profile=read_profile(profile, where=f"--profile {profile}"),
        engine=EngineSpec(type=engine, precision=precision, profile=profile),
        slo=_slo(ttft_s, itl_s, percentile),
        source=WorkloadSource(
            trace=trace, start_s=start_s, duration_s=duration_s, speed=speed, seed=seed, skip_bad=skip_bad
        ),
        sizes=tuple(_size(name) for name in sku) if sku else tuple(VM_SIZES.values()),
        named=bool(sku),
    )
    if out is not None:
        _make(out)
    answer = find(question, finalists=finalists, tell=lambda line: note(f"penstock recommend: {line}"))
    skipped = tell_skipped(question.source, "penstock recommend")
    if out is not None:
        _write(out, answer)
    if json:
        print_document({**document(answer), **skipped})
    else:
        print_text(recommend_table(answer))
    if answer.best is None:
        raise typer.Exit(1)


def _slo(ttft_s: float, itl_s: float, percentile: float) -> SloSpec:
    from pydantic import ValidationError

    try:
        return SloSpec(ttft_s=ttft_s, itl_s=itl_s, percentile=percentile)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = {"ttft_s": "--ttft-s", "itl_s": "--itl-s"}.get(str(first["loc"][-1]), "--percentile")
        message = first["msg"]
        raise InputError(flag, f"{first['input']} will not do", message[:1].lower() + message[1:]) from error


def _size(name: str) -> VmSize:
    try:
        return vm_size(name)
    except InputError as error:
        raise InputError("--sku", error.what, error.fix) from error


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})", "name a folder that can") from error


def _write(out: Path, answer: Answer) -> None:
    written = {
        "recommend.json": json_module.dumps(document(answer), indent=2) + "\n",
        "recommend.html": page(document(answer)),
    }
    if answer.best is not None:
        written["deployment.yaml"] = yaml.safe_dump(deployment_file(answer, answer.best), sort_keys=False)
    for name in ("deployment.yaml", "recommend.html", "recommend.json"):
        (out / name).unlink(missing_ok=True)
    for name, text in written.items():
        (out / name).write_text(text, encoding="utf-8")
    note(f"penstock recommend: wrote {', '.join(str(out / name) for name in written)}")
