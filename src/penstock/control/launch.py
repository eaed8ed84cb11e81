"""The command lines of the processes that one machine runs: pure, from the deployment spec."""

from dataclasses import dataclass
from pathlib import Path

import aiohttp

from penstock.control.child import own_program
from penstock.control.health import is_healthy, serves
from penstock.control.run_directory import RunDirectory
from penstock.messages.spec import ComponentSpec, DeploymentBody

SHIPPED_TOKENIZER = "penstock/tiny"
STOP_GRACE_S = 5.0  # what requests in flight get when the whole deployment ends


def gateway_arguments(spec: DeploymentBody, *, workers_file: str, host: str, port: int) -> tuple[str, ...]:
    """`penstock gateway` before the workers that the file lists."""
    return own_program(
        "gateway",
        *("--host", host, "--port", str(port)),
        *("--workers-file", workers_file),
        *("--model", spec.model.name),
        *_tokenizer(spec),
        *("--routing", spec.routing.policy),
        *("--ttft-s", repr(spec.slo.ttft_s), "--itl-s", repr(spec.slo.itl_s)),
        *("--hold-max", str(spec.routing.max_held_requests), "--hold-timeout-s", repr(spec.routing.hold_timeout_s)),
        *("--grace-s", repr(STOP_GRACE_S)),
    )


def worker_arguments(
    spec: DeploymentBody,
    component: ComponentSpec,
    run: RunDirectory,
    *,
    worker: str,
    host: str,
    port: int,
    delay_s: float,
) -> tuple[str, ...]:
    """`penstock worker` with the engine that the run's own copy of the spec gives its component."""
    return own_program(
        "worker",
        *("--host", host, "--port", str(port)),
        *("--spec", str(run.spec_file), "--component", component.name, "--id", worker),
        *_tokenizer(spec),
        *("--kv-events", run.endpoint(worker, "kv"), "--kv-replay", run.endpoint(worker, "replay")),
        *("--start-delay-s", repr(delay_s)),
    )


def _tokenizer(spec: DeploymentBody) -> tuple[str, ...]:
    return ("--tokenizer", tokenizer_of(spec))


def tokenizer_of(spec: DeploymentBody) -> str:
    """As the spec says; else the model's own, if it is a directory that has one; else the small one that ships."""
    if spec.model.tokenizer is not None:
        return spec.model.tokenizer
    own = Path(spec.model.name)
    return str(own) if (own / "tokenizer.json").is_file() else SHIPPED_TOKENIZER


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """The workers of one component."""

    spec: DeploymentBody
    component: ComponentSpec
    run: RunDirectory
    session: aiohttp.ClientSession
    host: str

    def arguments(self, worker: str, port: int, delay_s: float) -> tuple[str, ...]:
        return worker_arguments(
            self.spec, self.component, self.run, worker=worker, host=self.host, port=port, delay_s=delay_s
        )

    async def is_healthy(self, url: str) -> bool:
        return await is_healthy(self.session, url)

    async def serves(self, url: str) -> bool:
        return await serves(self.session, url, self.spec.model.name)


@dataclass(frozen=True, slots=True)
class GatewayKind:
    """The one gateway. It is well if it tells its metrics: its /health also asks for workers, which may be none yet."""

    spec: DeploymentBody
    run: RunDirectory
    session: aiohttp.ClientSession
    host: str

    def arguments(self, worker: str, port: int, delay_s: float) -> tuple[str, ...]:
        return gateway_arguments(self.spec, workers_file=str(self.run.workers_file), host=self.host, port=port)

    async def is_healthy(self, url: str) -> bool:
        return await is_healthy(self.session, url, "/metrics")

    async def serves(self, url: str) -> bool:
        return await is_healthy(self.session, url, "/v1/models")
