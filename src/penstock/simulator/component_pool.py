"""One component's pods, the nodes that they may run on, and what is known of how long both take."""

from collections.abc import Mapping

from penstock.control.lead_times import LeadTimes
from penstock.messages.spec import ComponentSpec
from penstock.simulator.nodes import NodePool, NodeState
from penstock.simulator.pods import Pods
from penstock.simulator.world_spec import DelaySpec, NodePoolSpec, PodStartSpec

_AT_ONCE = DelaySpec(mean_s=0.0)


class ComponentPool:
    """A component in the virtual cluster.

    Args:
        vm_size: of its nodes, as the price table spells it; empty, if it needs no GPU.
        shared: the world's node pools, by VM size.
        start: how long its pods take there.
    """

    def __init__(
        self, component: ComponentSpec, vm_size: str, shared: Mapping[str, NodePool], start: PodStartSpec
    ) -> None:
        self.component = component
        self.vm_size = vm_size
        self.pods = Pods(component.name, component.gpu.count if component.gpu is not None else 1)
        self.lead_times = LeadTimes(component.engine.startup)
        found = shared.get(vm_size)
        self.own_nodes = found is None  # they come and go with its pods, at once
        self.nodes = found or NodePool(_own_nodes(component, vm_size), self.pods.gpus)
        self.start = start
        if self.own_nodes:
            engine = DelaySpec(mean_s=component.engine.startup.warm_s)
            self.start = PodStartSpec(image=_AT_ONCE, weights=_AT_ONCE, engine=engine)

    @property
    def has_room(self) -> bool:
        """Whether one more pod would find a node at once, or one that only has to be switched on."""
        gpus = self.pods.gpus
        return any(
            node.free_gpus + node.held_gpus >= gpus
            and (node.joined or (node.state is NodeState.DEALLOCATED and node.cached))
            for node in self.nodes.nodes.values()
        )


def _own_nodes(component: ComponentSpec, vm_size: str) -> NodePoolSpec:
    startup = component.engine.startup
    return NodePoolSpec(
        vm_size=vm_size,
        vm=DelaySpec(mean_s=max(0.0, startup.cold_s - startup.warm_s)),
        driver=_AT_ONCE,
        restart=_AT_ONCE,
        deallocate=True,
        unneeded_s=0.0,
        delay_after_add_s=0.0,
    )
