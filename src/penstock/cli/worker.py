"""`penstock worker`: one simulated engine behind an OpenAI API. `up` starts one per replica."""

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import log_to_stderr, read_spec
from penstock.errors import InputError
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role

_TINY = "penstock/tiny"
_KV_PIN_TIMEOUT_S = 480.0


def worker(
    port: Annotated[int, typer.Option(help="Port of its HTTP API.", min=1, max=65_535)],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    spec: Annotated[Path | None, typer.Option(help="Deployment file; with --component, says role and engine.")] = None,
    component: Annotated[str | None, typer.Option(help="Which component of --spec this is a replica of.")] = None,
    role: Annotated[Role | None, typer.Option(help="worker, prefill or decode, without --spec.")] = None,
    id: Annotated[str | None, typer.Option(help="Its name in the deployment.  [default: worker-PORT]")] = None,  # noqa: A002 - the option's name
    model: Annotated[
        str | None, typer.Option(help="Name that requests ask for.  [default: the spec's, else penstock/tiny]")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Directory with tokenizer.json.  [default: the spec's, else the one that ships]")
    ] = None,
    kv_events: Annotated[str | None, typer.Option(help="ZMQ endpoint to publish KV events on.")] = None,
    kv_replay: Annotated[str | None, typer.Option(help="ZMQ endpoint to replay them on.")] = None,
    start_delay_s: Annotated[float, typer.Option(help="Seconds of 503 first: node, image, weights.", min=0)] = 0.0,
    kv_pin_timeout_s: Annotated[
        float, typer.Option(help="How long prefilled KV waits to be read.", min=0.1)
    ] = _KV_PIN_TIMEOUT_S,
    max_num_seqs: Annotated[int | None, typer.Option(help="Sequences that run at a time.")] = None,
    max_num_batched_tokens: Annotated[int | None, typer.Option(help="Tokens that one step computes.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Tokens of prompt and answer together.")] = None,
    block_tokens: Annotated[int | None, typer.Option(help="Tokens per KV block.")] = None,
    kv_blocks: Annotated[int | None, typer.Option(help="KV blocks in all.")] = None,
    base_s: Annotated[float | None, typer.Option(help="Step time: seconds per step.")] = None,
    prefill_token_s: Annotated[float | None, typer.Option(help="Step time: seconds per prompt token computed.")] = None,
    prefill_attention_s: Annotated[float | None, typer.Option(help="Step time: seconds per (query, key) pair.")] = None,
    sequence_s: Annotated[float | None, typer.Option(help="Step time: seconds per decoding sequence.")] = None,
    context_token_s: Annotated[float | None, typer.Option(help="Step time: seconds per token of context.")] = None,
    prefill_step_s: Annotated[
        float | None, typer.Option(help="Step time: seconds more of a step with prompts.")
    ] = None,
    experts_s: Annotated[float | None, typer.Option(help="Step time: seconds to read all experts.")] = None,
    expert_share: Annotated[
        float | None, typer.Option(help="Step time: experts that a token passes, of all of a layer.")
    ] = None,
    kv_transfer_latency_s: Annotated[
        float | None, typer.Option(help="KV transfer: seconds before the first byte.")
    ] = None,
    kv_transfer_tokens_per_second: Annotated[
        float | None, typer.Option(help="KV transfer: tokens whose KV crosses in a second.")
    ] = None,
    drain_timeout_s: Annotated[float | None, typer.Option(help="How long SIGTERM lets requests finish.")] = None,
) -> None:
    """Serve a simulated engine: the engine core in real time, with OpenAI's API and vLLM's metrics and KV events."""
    from penstock.worker.process import serve
    from penstock.worker.settings import WorkerSettings

    log_to_stderr()
    limits = {
        "max_num_seqs": max_num_seqs,
        "max_num_batched_tokens": max_num_batched_tokens,
        "max_model_len": max_model_len,
        "block_tokens": block_tokens,
        "kv_blocks": kv_blocks,
        "drain_timeout_s": drain_timeout_s,
    }
    step_time = {
        "base_s": base_s,
        "prefill_token_s": prefill_token_s,
        "prefill_attention_s": prefill_attention_s,
        "sequence_s": sequence_s,
        "context_token_s": context_token_s,
        "prefill_step_s": prefill_step_s,
        "experts_s": experts_s,
        "expert_share": expert_share,
    }
    kv_transfer = {"latency_s": kv_transfer_latency_s, "tokens_per_second": kv_transfer_tokens_per_second}
    engine, chosen_role, spec_model, spec_tokenizer = EngineSpec(), role or Role.WORKER, None, None
    if spec is not None:
        engine, chosen_role, spec_model, spec_tokenizer = _from_spec(spec, component, role)
    elif component is not None:
        raise InputError("--component", "there is no --spec to look it up in", "add --spec FILE, or leave it out")
    if chosen_role is Role.FRONTEND:
        raise InputError("--role", "a frontend runs no engine", "use worker, prefill or decode")
    if kv_replay is not None and kv_events is None:
        raise InputError("--kv-replay", "there are no events to replay", "add --kv-events ENDPOINT")
    settings = WorkerSettings(
        id=id or f"worker-{port}",
        model=model or spec_model or _TINY,
        tokenizer=tokenizer or spec_tokenizer or _TINY,
        role=chosen_role,
        engine=_with(engine, limits, step_time, kv_transfer),
        host=host,
        port=port,
        kv_events=kv_events,
        kv_replay=kv_replay,
        start_delay_s=start_delay_s,
        kv_pin_timeout_s=kv_pin_timeout_s,
    )
    code = serve(settings)
    if code:
        raise typer.Exit(code)


def _from_spec(spec: Path, component: str | None, role: Role | None) -> tuple[EngineSpec, Role, str, str | None]:
    """Engine, role, model and tokenizer of a component. Raises: InputError."""
    body = read_spec(spec).spec
    names = ", ".join(pool.name for pool in body.pools)
    if component is None:
        raise InputError("--spec", "it does not say which component this is", f"add --component ({names})")
    if role is not None:
        raise InputError("--role", "the component of --spec says it already", "leave it out")
    pool = next((pool for pool in body.pools if pool.name == component), None)
    if pool is None:
        raise InputError(f"--component {component}", f"{spec} has no such component with an engine", f"use {names}")
    if pool.engine.type != "simulated":
        raise InputError(
            f"--component {component}", f"its engine is {pool.engine.type}", "this command runs simulated engines"
        )
    return pool.engine, pool.role, body.model.name, body.model.tokenizer


def _with(
    engine: EngineSpec,
    limits: dict[str, int | float | None],
    step_time: dict[str, float | None],
    kv_transfer: dict[str, float | None],
) -> EngineSpec:
    """The engine with these flags over it, checked as a spec is. Raises: InputError."""
    from pydantic import ValidationError

    document = engine.model_dump()
    document |= {name: value for name, value in limits.items() if value is not None}
    document["step_time"] |= {name: value for name, value in step_time.items() if value is not None}
    document["kv_transfer"] |= {name: value for name, value in kv_transfer.items() if value is not None}
    try:
        return EngineSpec.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = "-".join(map(str, first["loc"])).removeprefix("step_time-").replace("_", "-")
        message = first["msg"]
        raise InputError(f"--{flag}", f"{first['input']} will not do", message[:1].lower() + message[1:]) from error
