"""What every request is served with: one of each for the whole gateway."""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.gateway.hold import HoldingRoom
from penstock.gateway.prompts import PromptReader
from penstock.gateway.routing import Routing
from penstock.gateway.settings import GatewaySettings
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.telemetry.gateway_metrics import GatewayMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The parts of a gateway that its requests share."""

    settings: GatewaySettings
    routing: Routing
    room: HoldingRoom
    pool: UpstreamPool
    prompts: PromptReader
    metrics: GatewayMetrics
    clock: Callable[[], float]
