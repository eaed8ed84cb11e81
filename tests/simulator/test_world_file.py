"""World files: what cannot be is one line that names the field; prices are the user's to state; examples run."""

from pathlib import Path

import pytest
from virtual_runs import workload

from penstock.errors import InputError
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.observation import NodePoolSeen, Observation
from penstock.messages.parse_spec import parse_spec
from penstock.simulator.parse_world import parse_world
from penstock.simulator.run import simulate

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = "apiVersion: penstock.dev/v1alpha1\nkind: VirtualCluster\nspec:\n"


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("nodePools: [{vmSize: Standard_NC40ads_H100_v6}]", "spec.nodePools[0].vmSize: unknown VM size"),
        (
            "nodePools: [{vmSize: Standard_NC40ads_H100_v5}, {vmSize: standard_nc40ads_h100_v5}]",
            "spec.nodePools: two have vmSize Standard_NC40ads_H100_v5; keep one",
        ),
        (
            "nodePools: [{vmSize: Standard_NC40ads_H100_v5, placeholders: {count: 1, gpus: 2}}]",
            "spec.nodePools[0].placeholders.gpus: 2 do not fit; Standard_NC40ads_H100_v5 has 1",
        ),
        ("nodePools: [{vmSize: Standard_NC40ads_H100_v5, minNodes: 3, maxNodes: 2}]", "spec.nodePools[0].minNodes: 3"),
        ("failures: {at: [{seconds: 3}]}", "spec.failures.at[0]: a failure is of a worker or of a node; give one"),
        ("failures: {workerMeanHours: 0}", "spec.failures.workerMeanHours: 0 will not do"),
        ("prices: [{vmSize: Standard_Mine, usdPerHour: 1}]", "spec.prices[0]: Standard_Mine is not in the table; give"),
        ("metrics: {through: prometheus, missed: 1}", "spec.metrics.missed: 1 will not do"),
    ],
)
def test_what_cannot_be_names_field_and_fix(spec: str, complaint: str) -> None:
    """In the file's own spelling."""
    with pytest.raises(InputError) as raised:
        parse_world(f"{HEAD}  {spec}\n", source="world.yaml")
    assert f"world.yaml: {complaint}" in str(raised.value)


def test_a_price_of_your_own_replaces_the_tables_and_a_new_size_joins_it() -> None:
    """Figures that are not stated stay as they are; the table that Penstock ships does not change."""
    world = parse_world(
        f"""{HEAD}  prices:
    - {{vmSize: Standard_NC80adis_H100_v5, usdPerHour: 9.0, source: our contract, asOf: 2026-01}}
    - {{vmSize: Standard_Mine, usdPerHour: 4, gpus: 4, gpuMemoryGib: 48}}
  nodePools: [{{vmSize: Standard_Mine}}]
""",
        source="world.yaml",
    )
    ours = vm_size("Standard_NC80adis_H100_v5", sizes=world.sizes)
    assert (ours.usd_per_hour, ours.gpus, ours.gpu_memory_gib, ours.source) == (9.0, 2, 94, "our contract")
    assert vm_size("standard_mine", sizes=world.sizes).usd_per_gpu_hour == 1.0
    assert vm_size("Standard_NC80adis_H100_v5").usd_per_hour == 13.96


class Seen:
    """A listener that keeps the nodes that were seen."""

    def __init__(self) -> None:
        self.nodes: list[NodePoolSeen] = []
        self.ready: list[int] = []

    def observed(self, observation: Observation) -> None:
        self.nodes += observation.nodes
        self.ready.append(observation.pools[0].ready)

    def decided(self, decision: object) -> None:
        pass


def test_the_example_world_runs_with_all_that_it_states() -> None:
    """A crash, a lost node, maintenance and a stock-out within an hour: requests and dollars add up all the same."""
    world = parse_world((EXAMPLES / "worlds/aks-h100.yaml").read_text(), source="aks-h100.yaml")
    spec = parse_spec((EXAMPLES / "aggregated.yaml").read_text(), source="aggregated.yaml").spec
    arrivals = workload(1, 2900, rate=1.0)
    seen = Seen()
    result = simulate(spec, iter(arrivals), world=world, listeners=[seen]).result
    counts, hours = result.requests, result.gpu_hours
    assert counts.offered == counts.completed + counts.rejected + counts.failed == len(arrivals)
    assert counts.completed > 0.99 * len(arrivals)
    assert hours is not None
    states = (hours.serving, hours.starting, hours.warm, hours.draining, hours.idle)
    assert hours.total == pytest.approx(sum(states))
    assert result.cost_usd == pytest.approx(6.98 * hours.total)
    assert min(hours.serving, hours.starting, hours.warm) > 0
    assert max(nodes.cordoned for nodes in seen.nodes) > 0
    assert max(nodes.held for nodes in seen.nodes) == 1
    assert 0 in seen.ready  # the one worker crashed


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("world*.yaml")) + sorted(EXAMPLES.glob("worlds/*.yaml")), ids=str
)
def test_every_example_world_parses(path: Path) -> None:
    """The case study's too."""
    assert parse_world(path.read_text(), source=str(path)).node_pools
