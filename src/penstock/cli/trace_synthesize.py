"""`penstock trace synthesize`: a simple workload by a few options; a file of kind Workload says the rest."""

from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from penstock.cli.output import print_document, print_text
from penstock.cli.trace_options import JsonOption, OutOption, SeedOption, write_whole
from penstock.errors import InputError
from penstock.workload import penstock_jsonl
from penstock.workload.arrival import BLOCK_TOKENS
from penstock.workload.compose import compose
from penstock.workload.workload_spec import WorkloadBody

_DAY_S = 86_400.0
# Where the options end up in the spec, to name the option when a value will not do.
_FLAGS = {
    ("duration_s",): "--duration-s",
    ("rate", "requests_per_second"): "--rate",
    ("rate", "points"): "--rate",
    ("rate", "gaps_cv"): "--cv",
    ("rate", "wave", "period_s"): "--period-s",
    ("input", "mean"): "--input-tokens",
    ("input", "cv"): "--input-tokens-cv",
    ("output", "mean"): "--output-tokens",
    ("output", "cv"): "--output-tokens-cv",
    ("input", "max"): "--max-tokens",
    ("output", "max"): "--max-tokens",
    ("system_prompts", "count"): "--system-prompts",
    ("system_prompts", "tokens"): "--system-tokens",
    ("systemPrompts", "tokens"): "--system-tokens",
    ("system_prompts", "skew"): "--system-skew",
    ("sessions", "turns"): "--turns",
    ("sessions", "think_s"): "--think-s",
    ("sessions", "max_context_tokens"): "--max-context",
    ("block_tokens",): "--block-tokens",
}


class Shape(StrEnum):
    """How the rate moves over a run."""

    CONSTANT = "constant"
    DIURNAL = "diurnal"  # from rate up to peak and back, once a period, as a cosine
    RAMP = "ramp"  # from rate to peak, evenly
    SPIKE = "spike"  # rate, but peak for a while


def synthesize(
    out: OutOption,
    duration_s: Annotated[float, typer.Option(help="How long requests come.")] = 600.0,
    rate: Annotated[float, typer.Option(help="Requests a second; of diurnal the lowest, of ramp the first.")] = 1.0,
    shape: Annotated[Shape, typer.Option(help="How the rate moves.")] = Shape.CONSTANT,
    peak: Annotated[float, typer.Option(help="Highest rate of diurnal and spike, last of ramp.")] = 0.0,
    period_s: Annotated[float, typer.Option(help="Seconds of one wave of the diurnal shape.")] = _DAY_S,
    spike_at_s: Annotated[float, typer.Option(min=0, help="When the spike begins.")] = 0.0,
    spike_for_s: Annotated[float, typer.Option(min=0, help="How long the spike lasts.")] = 60.0,
    cv: Annotated[float, typer.Option(help="Burstiness: 1 Poisson, above it gamma bursts, below it regular.")] = 1.0,
    input_tokens: Annotated[float, typer.Option(help="Mean new prompt tokens of a request.")] = 1000.0,
    input_tokens_cv: Annotated[
        float, typer.Option(help="Their spread: standard deviation over mean; 0: all alike.")
    ] = 1.0,
    output_tokens: Annotated[float, typer.Option(help="Mean output tokens.")] = 100.0,
    output_tokens_cv: Annotated[
        float, typer.Option(help="Their spread: standard deviation over mean; 0: all alike.")
    ] = 1.0,
    max_tokens: Annotated[int, typer.Option(help="Longest single prompt or output.")] = 16_384,
    system_prompts: Annotated[int, typer.Option(min=0, help="Different system prompts that requests share.")] = 0,
    system_tokens: Annotated[int, typer.Option(min=0, help="Length of each system prompt.")] = 0,
    system_skew: Annotated[float, typer.Option(help="How unequally they are used: 0 equally, 1 by Zipf's law.")] = 0.0,
    turns: Annotated[float, typer.Option(help="Mean turns of a conversation whose history grows; 1: none.")] = 1.0,
    think_s: Annotated[float, typer.Option(help="Mean time from one turn to the next.")] = 30.0,
    max_context: Annotated[int, typer.Option(help="A conversation that would grow beyond it ends.")] = 32_768,
    block_tokens: Annotated[int, typer.Option(help="Tokens of a prefix block; Mooncake's have 512.")] = BLOCK_TOKENS,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Make a simple workload and write it as Penstock JSONL.

    Phases, overlays, noise, states and lengths of a trace: write a file of kind Workload; every command takes it as a
    trace, and `penstock trace convert` writes it out.
    """
    if bool(system_prompts) != bool(system_tokens):
        raise InputError("--system-prompts", "goes with --system-tokens", "give both or neither")
    generate: dict[str, Any] = {
        "duration_s": duration_s,
        "rate": {**_rate(shape, rate, peak, period_s, spike_at_s, spike_for_s, duration_s), "gaps_cv": cv},
        "input": {"mean": input_tokens, "cv": input_tokens_cv, "max": max_tokens},
        "output": {"mean": output_tokens, "cv": output_tokens_cv, "max": max_tokens},
        # A context bounds single requests too, so there are always sessions, be it of one turn.
        "sessions": {"turns": turns, "think_s": think_s, "max_context_tokens": max_context},
        "block_tokens": block_tokens,
    }
    if system_prompts:
        generate["system_prompts"] = {"count": system_prompts, "tokens": system_tokens, "skew": system_skew}
    try:
        spec = WorkloadBody.model_validate({"generate": generate})
    except ValidationError as error:
        raise _by_flag(error) from error
    arrivals = compose(spec, seed=seed, open_trace=lambda trace: iter(()))
    count = write_whole(out, lambda file: penstock_jsonl.write(arrivals, file))
    if json:
        print_document({"out": str(out), "requests": count})
    else:
        print_text(f"wrote {count:,} requests to {out}")


def _rate(
    shape: Shape, rate: float, peak: float, period_s: float, at_s: float, for_s: float, duration_s: float
) -> dict[str, Any]:
    """The options' rates as a level, which is the highest, and what it is multiplied by."""
    if shape is Shape.CONSTANT:
        return {"requests_per_second": rate}
    if not peak > 0:
        raise InputError("--peak", f"is missing for --shape {shape}", "give the other rate, in requests a second")
    if not rate >= 0:
        raise InputError("--rate", f"is {rate:g}", "give requests a second")
    if shape is Shape.DIURNAL:
        if rate > peak:
            raise InputError("--peak", f"{peak:g} is below --rate {rate:g}", "give the higher rate")
        mean = (rate + peak) / 2
        wave = {"swing": (peak - rate) / (peak + rate), "period_s": period_s, "peak_at_s": period_s / 2}
        return {"requests_per_second": mean, "wave": wave}
    if shape is Shape.RAMP:
        return {"points": [(0.0, rate), (duration_s, peak)]}
    return {"points": [(at_s, rate), (at_s, peak), (at_s + for_s, peak), (at_s + for_s, rate)]}


def _by_flag(error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"] if str(part) != "generate")
    message = str(first.get("ctx", {}).get("error", "")) or first["msg"]
    head, _, rest = message.partition(": ")
    if rest:  # the validator named a field below its model
        path, message = (*path, *head.split(".")), rest
    flag = next((flag for known, flag in _FLAGS.items() if path[: len(known)] == known), f"--{path[-1]}")
    what, _, fix = message.partition("; ")
    given = first["input"]
    if not fix:
        what, fix = f"is {given:g}" if isinstance(given, int | float) else "will not do", message.lower()
    return InputError(flag, what, fix)
