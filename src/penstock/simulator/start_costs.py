"""What a clairvoyant pays for one start of a replica, in a given world: how long it takes, and what has to stand by."""

from dataclasses import dataclass

from penstock.hardware.vm_sizes import vm_size
from penstock.messages.spec import ComponentSpec
from penstock.simulator.world_spec import NodePoolSpec, WorldSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCost:
    """One way to start.

    Args:
        lead_s: from asking for a replica until it serves, on average.
        standing_gpus, span_s: GPUs that are paid for all along so that it goes that fast, and for how long.
    """

    lead_s: float
    standing_gpus: float = 0.0
    span_s: float = 0.0


def start_costs(
    component: ComponentSpec, world: WorldSpec | None, *, span_s: float, sharers: int = 1
) -> tuple[StartCost, ...]:
    """Cold first; then, where the world has placeholders, warm.

    Every warm start is taken to find a placeholder, image and weights: no start can cost less.

    Args:
        span_s: how long placeholders are paid for. sharers: pools that share their price.
    """
    nodes = _nodes(component, world)
    if nodes is None or world is None:
        return (StartCost(lead_s=component.engine.startup.cold_s),)
    cold = StartCost(lead_s=nodes.scan_s / 2 + nodes.provision_mean_s + world.pod_start.cold_mean_s)
    placeholders = nodes.placeholders
    if not placeholders.count:
        return (cold,)
    gpus = placeholders.gpus or vm_size(nodes.vm_size, sizes=world.sizes).gpus
    lead_s = placeholders.leave_s + world.pod_start.engine.mean_s
    return cold, StartCost(lead_s=lead_s, standing_gpus=placeholders.count * gpus / sharers, span_s=span_s)


def _nodes(component: ComponentSpec, world: WorldSpec | None) -> NodePoolSpec | None:
    if world is None or component.gpu is None:
        return None
    size = component.gpu.vm_size.lower()
    return next((nodes for nodes in world.node_pools if nodes.vm_size.lower() == size), None)
