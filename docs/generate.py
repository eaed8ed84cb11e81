"""Writes the pages of docs/reference that are read off the code: `make docs`. A test holds them to it."""

import inspect
import json
import re
import sys
from collections.abc import Iterator, Sequence
from enum import EnumType
from pathlib import Path
from typing import Any, get_args

import typer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from penstock.cli.main import COMMANDS, build
from penstock.messages import engine_spec, pod_spec, policy_spec, pool_spec, scaling_spec, spec
from penstock.messages.parse_spec import json_schema
from penstock.simulator import metrics_spec, price_spec, world_spec
from penstock.telemetry.control_metrics import ControlMetrics
from penstock.telemetry.gateway_metrics import GatewayMetrics
from penstock.telemetry.planner_metrics import PlannerMetrics
from penstock.telemetry.vllm_metrics import EngineGauges, VllmMetrics
from penstock.workload import workload_spec

REFERENCE = Path(__file__).parent / "reference"
MODELS: tuple[type[BaseModel], ...] = (
    spec.InferenceDeployment,
    spec.Metadata,
    spec.DeploymentBody,
    spec.ModelSpec,
    spec.SloSpec,
    spec.RoutingSpec,
    spec.ComponentSpec,
    engine_spec.EngineSpec,
    engine_spec.StepTimeSpec,
    engine_spec.KvTransferSpec,
    engine_spec.StartupSpec,
    engine_spec.GpuSpec,
    scaling_spec.PlannerScaling,
    scaling_spec.PlannerRules,
    scaling_spec.HpaScaling,
    scaling_spec.MetricTarget,
    scaling_spec.KedaScaling,
    scaling_spec.KedaTrigger,
    scaling_spec.KedaFallback,
    scaling_spec.Behavior,
    scaling_spec.ScalingRules,
    scaling_spec.ScalingPolicyRule,
    scaling_spec.NoScaling,
    spec.WarmCapacitySpec,
    pod_spec.PodSpec,
    pool_spec.ComponentPool,
    pool_spec.PoolBody,
    policy_spec.ScalingPolicy,
    policy_spec.PolicyBody,
    policy_spec.ScaleTargetRef,
    policy_spec.PolicyMetricsSpec,
    policy_spec.PodMetricsSpec,
)
WORLD_MODELS: tuple[type[BaseModel], ...] = (
    world_spec.VirtualCluster,
    world_spec.WorldSpec,
    world_spec.NodePoolSpec,
    world_spec.PlaceholderSpec,
    world_spec.PodStartSpec,
    world_spec.FailuresSpec,
    world_spec.FailureSpec,
    metrics_spec.MetricsSpec,
    world_spec.DelaySpec,
    price_spec.VmPriceSpec,
)
WORKLOAD_MODELS: tuple[type[BaseModel], ...] = (
    workload_spec.Workload,
    workload_spec.WorkloadBody,
    workload_spec.PartSpec,
    workload_spec.GenerateSpec,
    workload_spec.RateSpec,
    workload_spec.WaveSpec,
    workload_spec.StateSpec,
    workload_spec.NoiseSpec,
    workload_spec.SpikesSpec,
    workload_spec.LengthSpec,
    workload_spec.SystemPromptsSpec,
    workload_spec.SessionsSpec,
)


def pages() -> dict[str, str]:
    """File name to text, for every generated page."""
    return {
        "deployment.schema.json": json.dumps(json_schema(), indent=1) + "\n",
        "spec.md": "\n".join(_spec_page()) + "\n",
        "world.md": "\n".join(_world_page()) + "\n",
        "workload.md": "\n".join(_workload_page()) + "\n",
        "cli.md": "\n".join(_cli_page()) + "\n",
        "metrics.md": "\n".join(_metrics_page()) + "\n",
    }


def _spec_page() -> Iterator[str]:
    yield "# Deployment file\n\nMade by `make docs`. Names end in their unit; unknown fields are refused."
    yield "`pod` and `warmCapacity` matter in a cluster only (`penstock render`; `warmCapacity` in a virtual one too)."
    yield from _models(MODELS)


def _world_page() -> Iterator[str]:
    yield "# World of the simulator\n\nMade by `make docs`. A file of kind `VirtualCluster`, for `simulate` and"
    yield "`compare`. [The simulator](../concepts/simulator.md) says what it is for."
    yield from _models(WORLD_MODELS)


def _workload_page() -> Iterator[str]:
    yield "# Made workloads\n\nMade by `make docs`. A file of kind `Workload` stands wherever a command takes a trace."
    yield "[Traces](traces.md#make-one) shows how."
    yield from _models(WORKLOAD_MODELS)


def _models(models: Sequence[type[BaseModel]]) -> Iterator[str]:
    for model in models:
        yield f"\n## {_title(model)}\n\n{_paragraphs(model.__doc__)}\n"
        yield "| field | default | what it does |\n|---|---|---|"
        inherited = [name for base in model.__bases__ if base in models for name in base.model_fields]
        for field in (field for name, field in model.model_fields.items() if name not in inherited):
            yield f"| `{field.alias}` | {_default(field)} | {_what_it_does(field)} |"


def _title(model: type[BaseModel]) -> str:
    return model.__name__.removesuffix("Spec")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "its own"
    return f"`{json.dumps(default)}`"


def _what_it_does(field: FieldInfo) -> str:
    text = _limited(" ".join((field.description or "").split()), [*_choices(field.annotation), *_bounds(field)])
    if links := ", ".join(f"[{_title(model)}](#{_title(model).lower()})" for model in _models_in(field.annotation)):
        text += f" See {links}."
    return text


def _limited(text: str, limits: Sequence[str]) -> str:
    return f"{text} ({', '.join(limits)})" if limits else text


def _choices(annotation: Any) -> list[str]:
    """The words that a field may hold, if it takes nothing but words."""
    leaves = [leaf for leaf in _leaves(annotation) if leaf is not type(None)]
    words = [word for leaf in leaves for word in (leaf if isinstance(leaf, EnumType) else [leaf])]
    return [f"`{word}`" for word in words] if all(isinstance(word, str) for word in words) else []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    return [leaf for leaf in _leaves(annotation) if isinstance(leaf, type) and issubclass(leaf, BaseModel)]


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types and literal values that an annotation is made of."""
    arguments = get_args(annotation)
    for argument in arguments:
        yield from _leaves(argument)
    if not arguments:
        yield annotation


def _bounds(field: FieldInfo) -> Iterator[str]:
    for constraint in field.metadata:
        for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
            if (limit := getattr(constraint, name, None)) is not None:
                yield f"{sign} {limit:,}"


def _cli_page() -> Iterator[str]:
    yield "# Commands\n\nMade by `make docs`."
    yield "Exit codes: 0 fine; 1 it ran and the answer is bad; 2 input or usage is wrong."
    yield from _command(typer.main.get_command(build(list(COMMANDS))), "penstock")


def _command(command: Any, path: str) -> Iterator[str]:
    if subcommands := getattr(command, "commands", None):
        yield f"\n## {path}\n\n{_paragraphs(command.help)}\n\n| command | what it does |\n|---|---|"
        for name in sorted(subcommands):
            anchor = f"{path} {name}".replace(" ", "-")
            yield f"| [`{path} {name}`](#{anchor}) | {_first_paragraph(subcommands[name].help)} |"
        for name in sorted(subcommands):
            yield from _command(subcommands[name], f"{path} {name}")
        return
    yield f"\n## {path}\n\n{_paragraphs(command.help)}\n"
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    if not shown:
        yield "It has no options."
        return
    yield "| option | default | what it does |\n|---|---|---|"
    for parameter in shown:
        spelled = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            spelled = f"`{parameter.name.upper()}`"
        default = "required" if parameter.required else _plain(parameter.default)
        limits = _choices(parameter.type_descriptor.annotation)
        limits += [f"{sign} {limit:,}" for sign, limit in ((">=", parameter.min), ("<=", parameter.max)) if limit]
        yield f"| {spelled} | {default} | {_limited(_one_line(parameter.help), limits)} |"


def _plain(default: Any) -> str:
    if default is None or default is False or default in ((), []):
        return ""
    return f"`{default}`"


def _metrics_page() -> Iterator[str]:
    slo = spec.SloSpec(ttft_s=0.5, itl_s=0.05)
    gateway = GatewayMetrics(slo_ttft_s=slo.ttft_s, slo_itl_s=slo.itl_s)
    control = ControlMetrics(slo, costs=lambda: None, errors={}, deaths=dict)
    worker = VllmMetrics(
        model_name="m",
        num_gpu_blocks=1,
        block_size=16,
        max_model_len=1,
        gauges=lambda: EngineGauges(running=0, waiting=0, deferred=0, kv_usage=0.0),
    )
    planner = PlannerMetrics(lambda: 0.0)
    yield "# Metrics\n\nMade by `make docs`. Prometheus names; latencies in seconds."
    for title, registry in (
        ("Gateway", gateway.registry),
        ("Control loop", control.registry),
        ("Planner of a cluster", planner.registry),
        ("Simulated worker, by vLLM's names", worker.registry),
    ):
        yield f"\n## {title}\n\n| metric | type | what it is |\n|---|---|---|"
        yield from _registry(registry)


def _registry(registry: CollectorRegistry) -> Iterator[str]:
    for family in sorted(registry.collect(), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield f"| `{name}` | {family.type} | {_one_line(family.documentation)} |"


def _paragraphs(text: str | None) -> str:
    """A docstring as markdown: paragraphs on one line each, indented ones as they are."""
    parts = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
    return "\n\n".join(part if part.startswith("    ") else " ".join(part.split()) for part in parts)


def _first_paragraph(text: str | None) -> str:
    return _one_line(inspect.cleandoc(text or "").split("\n\n")[0])


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)
        sys.stderr.write(f"wrote docs/reference/{name}\n")
