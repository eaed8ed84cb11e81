"""A comparison of made-up runs: its files in a folder, as `penstock compare --out` leaves them."""

from dataclasses import replace
from pathlib import Path

from fake_run import deployment, record

from penstock.messages.result import GpuHours
from penstock.telemetry.comparison_report import Bounds, Compared, write_comparison
from penstock.telemetry.overlay import overlay
from penstock.telemetry.ranking import Spent, rank, standing
from penstock.telemetry.report import describe_run
from penstock.telemetry.summary import summarize

LENGTH_S = 400


def write_compared(folder: Path, names: tuple[str, ...] = ("planner", "keda", "static")) -> Path:
    """Runs of other seeds, each dearer than the one before; returns the report's path."""
    results, overlays = {}, {}
    for place, name in enumerate(names):
        outcomes = record(folder / name, length_s=LENGTH_S, seed=place + 1)
        hours = GpuHours(total=1.0 + place, serving=0.8 + place, starting=0.1, warm=0.0, draining=0.1)
        result = summarize(outcomes, deployment().spec.slo)
        results[name] = replace(result, gpu_hours=hours, cost_usd=7.0 * hours.total, scale_events=5)
        overlays[name] = overlay(describe_run(folder / name))
    optimum = Spent(gpu_hours=0.8, cost_usd=5.6)
    bounds = Bounds(
        need=(1, 2, 3, 2, 2, 3, 1),
        optimum_counts=(1, 2, 3, 3, 3, 3, 1),
        window_s=60.0,
        lead_s=8.0,
        optimum=optimum,
        hindsight=standing("hindsight", results[names[0]], attain=0.5, optimum=optimum),
        hindsight_rule="largest load of the last 60 s × 1.2",
    )
    compared = Compared(
        ranked=rank(results, attain=0.5, optimum=optimum),
        overlays=overlays,
        attain=0.5,
        bounds=bounds,
        without_why=None,
    )
    return write_comparison(folder, compared)
