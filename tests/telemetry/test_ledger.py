"""GPU-hours, dollars and the static peak, worked out by hand."""

import pytest

from penstock.errors import InputError
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.observation import NodePoolSeen, Observation, PoolSeen
from penstock.messages.parse_spec import parse_spec
from penstock.telemetry.ledger import Ledger, Rate

HOUR_S = 3600.0


def seen(at_s: float, *, ready: int = 0, starting: int = 0, draining: int = 0, pool: str = "w") -> Observation:
    counts = PoolSeen(component=pool, desired=ready, starting=starting, ready=ready, draining=draining)
    return Observation(time_s=at_s, pools=(counts,))


def ledger(gpus: int = 1, usd_per_hour: float = 7.0) -> Ledger:
    return Ledger({"w": Rate(gpus=gpus, usd_per_hour=usd_per_hour)})


def test_each_state_is_charged_for_the_time_that_it_stood() -> None:
    books = ledger(gpus=2)
    books.observed(seen(0, ready=1, starting=2))
    books.observed(seen(HOUR_S, ready=3))
    books.observed(seen(1.5 * HOUR_S, ready=1, draining=2))
    books.observed(seen(2 * HOUR_S, ready=1))
    hours = books.costs().gpu_hours
    assert hours.serving == pytest.approx(2 * (1 + 3 * 0.5 + 0.5))
    assert hours.starting == pytest.approx(2 * 2)
    assert hours.draining == pytest.approx(2 * 2 * 0.5)
    assert hours.warm == 0
    assert hours.total == pytest.approx(hours.serving + hours.starting + hours.draining)


def test_dollars_follow_replicas_and_are_compared_with_the_static_peak() -> None:
    books = ledger()
    books.observed(seen(0, ready=1))
    books.observed(seen(HOUR_S, ready=4))
    books.observed(seen(2 * HOUR_S, ready=1))
    costs = books.costs()
    assert costs.spent_usd == pytest.approx(7 * (1 + 4))
    assert costs.static_peak_usd == pytest.approx(7 * 4 * 2)
    assert costs.usd_per_hour == pytest.approx(7)


def test_the_static_peak_is_of_replicas_that_served_not_of_those_asked_for() -> None:
    books = ledger()
    books.observed(seen(0, ready=1, starting=5))
    books.observed(seen(HOUR_S, ready=1))
    assert books.costs().static_peak_usd == pytest.approx(7)


def test_a_pool_without_a_gpu_is_free() -> None:
    books = ledger()
    books.observed(seen(0, ready=3, pool="other"))
    books.observed(seen(HOUR_S, ready=3, pool="other"))
    assert books.costs().spent_usd == 0


def test_without_gpus_or_before_the_first_look_nothing_is_told() -> None:
    assert ledger().costs() is None
    free = Ledger({})
    free.observed(seen(0, ready=1))
    assert free.costs() is None
    assert not free.knows_gpus


def test_time_that_goes_back_is_charged_to_nobody() -> None:
    books = ledger()
    books.observed(seen(100, ready=1))
    books.observed(seen(50, ready=1))
    assert books.costs().spent_usd == 0


SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {{name: priced}}
spec:
  model: {{name: penstock/tiny}}
  slo: {{ttftSeconds: 0.5, itlSeconds: 0.05}}
  components: [{{name: w, role: worker, gpu: {{vmSize: {size}, count: 2}}}}]
"""


def test_prices_are_those_of_the_specs_vm_sizes_by_the_gpus_that_a_replica_takes() -> None:
    size = "Standard_ND96isr_H100_v5"
    books = Ledger.of(parse_spec(SPEC.format(size=size), source="test").spec)
    books.observed(seen(0, ready=1))
    books.observed(seen(HOUR_S, ready=1))
    assert books.costs().spent_usd == pytest.approx(vm_size(size).usd_per_hour / 8 * 2)
    assert books.costs().gpu_hours.total == pytest.approx(2)


def test_an_unknown_vm_size_is_an_input_error() -> None:
    with pytest.raises(InputError, match="did you mean"):
        Ledger.of(parse_spec(SPEC.format(size="Standard_NC40ads_H100_v4"), source="test").spec)


def test_shared_nodes_are_charged_whole_and_split_by_who_holds_their_gpus() -> None:
    """Two nodes of eight GPUs and one on its way: four serve, two drain, two start, four are held, four are idle."""
    size = "Standard_ND96isr_H100_v5"
    books = Ledger.of(parse_spec(SPEC.format(size=size), source="test").spec)
    nodes = NodePoolSeen(vm_size=size, gpus_per_node=8, provisioning=1, cold=1, warm=1, deallocated=3, in_use=8, held=4)
    pool = PoolSeen(component="w", desired=4, starting=5, ready=2, draining=1)
    for at_s in (0.0, HOUR_S):
        books.observed(Observation(time_s=at_s, pools=(pool,), nodes=(nodes,)))
    hours = books.costs().gpu_hours
    assert (hours.serving, hours.draining, hours.warm, hours.idle) == (4, 2, 4, 4)
    assert hours.starting == 8 + 2  # the node on its way, and what the pods that start hold; the other four wait
    assert hours.total == 3 * 8
    assert books.costs().spent_usd == pytest.approx(3 * vm_size(size).usd_per_hour)
    assert books.costs().usd_per_hour == pytest.approx(3 * vm_size(size).usd_per_hour)
    assert books.costs().static_peak_usd == pytest.approx(vm_size(size).usd_per_hour / 8 * 2 * 2)
