"""What the operator is told once for the whole cluster: images, and where metrics are."""

from dataclasses import dataclass
from typing import Literal

from penstock import __version__

MonitorGroup = Literal["monitoring.coreos.com/v1", "azmonitoring.coreos.com/v1"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """One cluster.

    Args:
        image: of Penstock itself: gateways and simulated engines.
        vllm_image, sglang_image: of the engines, where a component names none.
        pause_image: of pods that only hold a place.
        prometheus: base URL at which KEDA asks; Azure Managed Prometheus has a query endpoint of its own.
        planner_address: host and port at which KEDA asks the planner; None: where `render --for operator` puts it.
        monitors: API of the PodMonitors. Azure Managed Prometheus reads only its own group; None makes none.
        keda_authentication: a TriggerAuthentication in the deployment's namespace; None where no token is asked.
    """

    image: str = f"ghcr.io/penstock/penstock:{__version__}"
    vllm_image: str = "vllm/vllm-openai:v0.32.0"
    sglang_image: str = "lmsysorg/sglang:v0.5.5"
    pause_image: str = "registry.k8s.io/pause:3.10"
    prometheus: str = "http://prometheus-operated.monitoring.svc:9090"
    planner_address: str | None = None
    monitors: MonitorGroup | None = "monitoring.coreos.com/v1"
    keda_authentication: str | None = None
