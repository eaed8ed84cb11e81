"""`penstock profile`: the step-time model: fit it to measurements, compare it with them, show what it knows."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock.calibration.compare import Compared, Comparison, by_campaign, compare, errors
from penstock.calibration.points import Point, Skipped
from penstock.calibration.read import read_measurements
from penstock.cli.output import note, print_document, print_text
from penstock.cli.profile_table import comparison_table, profile_table, replica_table
from penstock.cli.profiles import read_profile, read_shape
from penstock.errors import InputError
from penstock.hardware.gpus import Precision, gpu
from penstock.hardware.kv_capacity import kv_capacity
from penstock.hardware.profile import Profile, profile_to_json
from penstock.hardware.profiled import SHIPPED
from penstock.hardware.serving import EngineName, Serving

profile = typer.Typer(help="The step-time model: calibrate it, compare it with measurements.", no_args_is_help=True)

_Files = Annotated[list[Path], typer.Argument(help="Measurements (CSV).", show_default=False)]
_Profile = Annotated[
    Path | None, typer.Option("--profile", help="A file of `profile fit`; default: the one that ships.")
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_EVERY_S = 2.0


@profile.command()
def fit(
    files: _Files,
    out: Annotated[Path, typer.Option(help="The profile to write.", show_default=False)],
    json: _Json = False,
) -> None:
    """Calibrate a profile; leave each campaign (model, GPU, engine) out in turn to know its error. Takes a minute."""
    try:
        from penstock.calibration.fit import fit as fit_profile
    except ImportError as error:
        raise InputError(
            "profile fit", f"needs {error.name}", "install it with: pip install 'penstock[fit]'"
        ) from error
    points, _skipped = _read(files)
    found = fit_profile(
        points, source=", ".join(file.name for file in files), as_of=date.today().isoformat(), note=note
    )
    try:
        out.write_text(profile_to_json(found), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})", "give a file of yours") from error
    if json:
        print_document({"out": str(out), "campaigns": [asdict(campaign) for campaign in found.campaigns]})
    else:
        print_text(f"{profile_table(found)}\n\nwrote {out}")


@profile.command()
def check(files: _Files, profile: _Profile = None, json: _Json = False) -> None:
    """Replay each measured point as it was measured, and compare. Errors count points that are not saturated."""
    used = _profile(profile)
    points, skipped = _read(files)
    comparison = compare(points, skipped, used, tick=_progress(len(points)))
    if json:
        print_document(_document(comparison, used))
    else:
        print_text(comparison_table(comparison, used))


@profile.command()
def show(
    profile: _Profile = None,
    model: Annotated[str | None, typer.Option(help="Predict a replica: a known model, or a config.json.")] = None,
    gpu_name: Annotated[str, typer.Option("--gpu", help="Its GPU.")] = "H100 SXM",
    gpus: Annotated[int, typer.Option(min=1, help="GPUs over which it is cut.")] = 1,
    engine: Annotated[EngineName, typer.Option(help="Its engine.")] = "vllm",
    precision: Annotated[Precision, typer.Option(help="Of its weights.")] = "bf16",
    json: _Json = False,
) -> None:
    """What the profile was fitted to and how far off it is; or, with --model, what it predicts for a replica."""
    used = _profile(profile)
    if model is None:
        if json:
            print_document(asdict(used))
        else:
            print_text(profile_table(used))
        return
    serving = Serving(
        model=read_shape(model, where="--model"),
        gpu=gpu(gpu_name, where="--gpu"),
        engine=engine,
        precision=precision,
        gpus=gpus,
    )
    times, confidence, capacity = used.times(serving), used.confidence(serving), kv_capacity(serving)
    spec = times.spec(serving)
    if json:
        print_document(
            {
                "step_time": spec.model_dump(),
                "coefficients": times.step._asdict(),
                "request_s": times.request_s,
                "lag_steps": times.lag_steps,
                "kv_tokens": capacity.tokens,
                "kv_blocks": capacity.blocks,
                "confidence": asdict(confidence),
            }
        )
    else:
        print_text(replica_table(serving, spec, capacity, confidence))


def _profile(path: Path | None) -> Profile:
    return read_profile(SHIPPED if path is None else str(path), where=f"--profile {path}")


def _read(files: list[Path]) -> tuple[list[Point], list[Skipped]]:
    points: list[Point] = []
    skipped: list[Skipped] = []
    for file in files:
        found = read_measurements(file)
        points += found.points
        skipped += found.skipped
    return points, skipped


def _progress(total: int) -> Callable[[int], None]:
    """A line on stderr every few seconds."""
    said_at = begun = time.monotonic()

    def tick(done: int) -> None:
        nonlocal said_at
        now = time.monotonic()
        if now - said_at >= _EVERY_S:
            said_at = now
            note(f"replayed {done} of {total} points, about {(total - done) * (now - begun) / done:.0f} s to go")

    return tick


def _document(comparison: Comparison, used: Profile) -> dict[str, Any]:
    counted = errors(comparison.unsaturated)
    return {
        "points": [
            {
                "id": each.point.id,
                "predicted_ttft_s": each.predicted.ttft_s if each.point.ttft_s is not None else None,
                "measured_ttft_s": each.point.ttft_s,
                "predicted_tpot_s": each.predicted.tpot_s if each.point.tpot_s is not None else None,
                "measured_tpot_s": each.point.tpot_s,
                "saturated": each.predicted.saturated,
            }
            for each in comparison.points
        ],
        "skipped": [asdict(each) for each in comparison.skipped],
        "ttft_mape": counted.ttft,
        "tpot_mape": counted.tpot,
        "campaigns": [_campaign(members, used) for members in by_campaign(comparison.points).values()],
    }


def _campaign(members: tuple[Compared, ...], used: Profile) -> dict[str, Any]:
    serving = members[0].point.serving
    unsaturated = [each for each in members if not each.predicted.saturated]
    return {
        "model": serving.model.name,
        "gpu": serving.gpu.name,
        "engine": serving.engine,
        "calibrated": used.confidence(serving).calibrated,
        "points": len(members),
        "unsaturated": len(unsaturated),
        "errors": asdict(errors(unsaturated)),
    }
