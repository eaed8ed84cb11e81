"""The command line of an engine in a pod, from its component: simulated, vLLM, SGLang. Pure.

All that an engine must know is on its command line, so a change of what concerns it rolls its pods, and no other
change does. `pod.args` come last: they win where an engine takes the last of two. Kubernetes fills in `$(POD_IP)` and
`$(POD_NAME)`.

Sources: `vllm serve --help` of 0.32, KV events and NIXL pages of docs.vllm.ai; SGLang's server arguments.
"""

import json
from dataclasses import dataclass

from penstock.errors import InputError
from penstock.messages.engine_spec import EngineSpec, KvTransferSpec, StepTimeSpec
from penstock.messages.spec import ComponentSpec, ModelSpec
from penstock.messages.worker import Role
from penstock.operator.settings import OperatorSettings

HTTP_PORT = 8000
KV_EVENTS_PORT = 5557
KV_REPLAY_PORT = 5558
NIXL_PORT = 5600
PORTS = {"http": HTTP_PORT, "kv-events": KV_EVENTS_PORT, "kv-replay": KV_REPLAY_PORT}  # those that gateways look for


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a container starts its engine."""

    image: str
    command: tuple[str, ...] = ()  # none: the image's own entry point
    args: tuple[str, ...]
    env: dict[str, str]
    ports: dict[str, int]


def launch(model: ModelSpec, component: ComponentSpec, settings: OperatorSettings) -> Launch:
    """The launch of a component's engine. Raises: InputError, for what the gateway can't talk to."""
    engine = component.engine
    if engine.type == "simulated":
        return _simulated(model, component, settings)
    if engine.type == "vllm":
        return _vllm(model, component, settings)
    if component.role is not Role.WORKER:
        raise InputError(
            f"components {component.name}: engine.type",
            f"sglang with role {component.role}, which the gateway does not speak",
            "use role worker, or type vllm",
        )
    return _sglang(model, component, settings)


def _simulated(model: ModelSpec, component: ComponentSpec, settings: OperatorSettings) -> Launch:
    return Launch(
        image=settings.image,
        args=(
            "worker",
            *("--id", "$(POD_NAME)", "--role", component.role.value, "--model", model.name),
            *(("--tokenizer", model.tokenizer) if model.tokenizer is not None else ()),
            *("--host", "$(POD_IP)", "--port", str(HTTP_PORT)),
            *_flags(component.engine),
            *("--kv-events", f"tcp://$(POD_IP):{KV_EVENTS_PORT}", "--kv-replay", f"tcp://$(POD_IP):{KV_REPLAY_PORT}"),
        ),
        env={},
        ports=PORTS,
    )


def _flags(engine: EngineSpec) -> list[str]:
    """What differs from a simulated engine's defaults, as flags of `penstock worker`."""
    flags: list[str] = []
    for part, usual, prefix in (
        (engine, EngineSpec(), ""),
        (engine.step_time, StepTimeSpec(), ""),
        (engine.kv_transfer, KvTransferSpec(), "kv-transfer-"),
    ):
        for name in type(part).model_fields:
            value = getattr(part, name)
            if isinstance(value, int | float) and not isinstance(value, bool) and value != getattr(usual, name):
                flags += [f"--{prefix}{name.replace('_', '-')}", repr(value)]
    return flags


def _vllm(model: ModelSpec, component: ComponentSpec, settings: OperatorSettings) -> Launch:
    engine = component.engine
    gpus = component.gpu.count if component.gpu is not None else 1
    events = {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": f"tcp://*:{KV_EVENTS_PORT}",
        "replay_endpoint": f"tcp://*:{KV_REPLAY_PORT}",
    }
    args = [
        model.name,
        *("--host", "$(POD_IP)", "--port", str(HTTP_PORT)),
        *("--max-num-seqs", str(engine.max_num_seqs)),
        *("--max-num-batched-tokens", str(engine.max_num_batched_tokens)),
        *("--max-model-len", str(engine.max_model_len)),
        *("--block-size", str(engine.block_tokens)),
        *("--tensor-parallel-size", str(gpus)),
        *("--shutdown-timeout", str(round(engine.drain_timeout_s))),
        *("--kv-events-config", json.dumps(events, separators=(",", ":"))),
        "--enable-prompt-tokens-details",
        *_precision(engine, {"fp8": ("--quantization", "fp8")}, component),
    ]
    env, ports = {}, dict(PORTS)
    if engine.expert_parallel:
        args.append("--enable-expert-parallel")
    if component.role is not Role.WORKER:
        transfer = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
        args += ["--kv-transfer-config", json.dumps(transfer, separators=(",", ":"))]
        env = {"VLLM_NIXL_SIDE_CHANNEL_HOST": "$(POD_IP)", "VLLM_NIXL_SIDE_CHANNEL_PORT": str(NIXL_PORT)}
        ports |= {"nixl": NIXL_PORT}
    return Launch(image=settings.vllm_image, command=("vllm", "serve"), args=tuple(args), env=env, ports=ports)


def _sglang(model: ModelSpec, component: ComponentSpec, settings: OperatorSettings) -> Launch:
    engine = component.engine
    gpus = component.gpu.count if component.gpu is not None else 1
    return Launch(
        image=settings.sglang_image,
        command=("python3", "-m", "sglang.launch_server"),
        args=(
            *("--model-path", model.name, "--served-model-name", model.name),
            *("--host", "$(POD_IP)", "--port", str(HTTP_PORT)),
            *("--max-running-requests", str(engine.max_num_seqs)),
            *("--chunked-prefill-size", str(engine.max_num_batched_tokens)),
            *("--context-length", str(engine.max_model_len)),
            *("--page-size", str(engine.block_tokens)),
            *("--tp-size", str(gpus)),
            "--enable-metrics",
            *_precision(engine, {"fp8": ("--quantization", "fp8")}, component),
        ),
        env={},
        ports={"http": HTTP_PORT},
    )


def _precision(engine: EngineSpec, known: dict[str, tuple[str, ...]], component: ComponentSpec) -> tuple[str, ...]:
    """Flags that quantise on load. 4-bit weights come quantised, and the engine sees it in their config."""
    if engine.precision == "fp8" and "--quantization" not in component.pod.args:
        return known["fp8"]
    return ()
