"""Small deployments and workloads for the simulator's tests, and a slow, obvious way to know what must come out."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.messages.outcome import RequestOutcome
from penstock.messages.spec import DeploymentBody
from penstock.simulator.cluster import Cluster
from penstock.simulator.records import Records
from penstock.simulator.world_spec import WorldSpec
from penstock.workload.arrival import Arrival

TINY = {
    "max_num_seqs": 4,
    "max_num_batched_tokens": 64,
    "block_tokens": 16,
    "kv_blocks": 40,
    "max_model_len": 600,
    "step_time": {"base_s": 0.01, "prefill_token_s": 1e-4, "sequence_s": 1e-3, "context_token_s": 1e-6},
    "startup": {"cold_s": 2.0, "warm_s": 0.5},
}


def deployment(*components: dict[str, Any], **body: Any) -> DeploymentBody:
    """A deployment of tiny engines; by default one pool of two fixed workers."""
    pools = components or ({"name": "worker", "role": "worker", "replicas": 2},)
    return DeploymentBody.model_validate(
        {
            "model": {"name": "m"},
            "slo": {"ttft_s": 0.5, "itl_s": 0.05},
            "components": [{"engine": TINY, **pool} for pool in pools],
            **body,
        }
    )


def workload(seed: int, count: int = 60, *, rate: float = 8.0, from_s: float = 0.0) -> list[Arrival]:
    """Requests of random lengths, some of which share prefixes of 32-token blocks."""
    draw = random.Random(seed)
    at_s, found = from_s, []
    for _ in range(count):
        at_s += draw.expovariate(rate)
        tokens = draw.randint(1, 200)
        family = draw.randrange(4)
        blocks = tuple(1000 * family + place for place in range(tokens // 32))
        found.append(Arrival(at_s, tokens, draw.randint(1, 60), blocks, 32))
    return found


class Run:
    """A virtual cluster that is driven by hand, with every outcome kept."""

    def __init__(
        self, spec: DeploymentBody, arrivals: Sequence[Arrival], *, world: WorldSpec | None = None, seed: int = 0
    ) -> None:
        self.outcomes: list[RequestOutcome] = []
        self.records = Records(spec.slo, tell=self.outcomes.append)
        self.cluster = Cluster(spec, world or WorldSpec(), _each(arrivals), self.records, seed=seed)

    def to(self, at_s: float) -> "Run":
        """Let everything happen until then."""
        self.cluster.serving.run_to(round(at_s * 10**12))
        return self


def _each(arrivals: Sequence[Arrival]) -> Iterator[Arrival]:
    return iter(arrivals)
