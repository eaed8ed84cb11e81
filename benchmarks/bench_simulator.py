"""How many requests per second `penstock simulate` gets through, from trace file to finished result, on one core.

Each figure is the median of three runs, in CPU time; the stepwise engine (every step by itself, k = 1) runs beside it
in the same process. Ratios compare runs of the same call; absolute figures depend on the machine.

    python benchmarks/bench_simulator.py --azure AzureLLMInferenceTrace_code.csv --mooncake conversation_trace.jsonl
    python benchmarks/bench_simulator.py                      # the trace that ships, and made conversations
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from penstock.engine.timeline import Timeline
from penstock.errors import InputError
from penstock.messages.spec import DeploymentBody
from penstock.simulator import virtual_worker
from penstock.simulator.run import simulate
from penstock.simulator.workload_source import WorkloadSource
from penstock.simulator.world_spec import WorldSpec
from penstock.workload import penstock_jsonl
from penstock.workload.arrival import Arrival

RUNS = 3
SPLIT = 32  # blocks of 16 tokens in a page of 512
UNSEEN = WorldSpec.model_validate({"running": True, "metrics": {"scrape_s": 600}})
SCRAPED = WorldSpec.model_validate({"running": True, "metrics": {"scrape_s": 1}})
PROMETHEUS = WorldSpec.model_validate({"running": True, "metrics": {"through": "prometheus", "scrape_s": 15}})


def deployment(workers: int, autoscaling: dict[str, Any] | None = None) -> DeploymentBody:
    """One pool of default engines."""
    pool: dict[str, Any] = {"name": "worker", "role": "worker"}
    pool |= {"autoscaling": autoscaling} if autoscaling else {"replicas": workers}
    return DeploymentBody.model_validate(
        {"model": {"name": "m"}, "slo": {"ttft_s": 0.5, "itl_s": 0.05}, "components": [pool]}
    )


class Bench:
    """Runs and prints cases; remembers what each took per request."""

    def __init__(self) -> None:
        self.us: dict[str, float] = {}

    def case(
        self, name: str, source: WorkloadSource, spec: DeploymentBody, world: WorldSpec = UNSEEN, *, steps: bool = False
    ) -> None:
        """Run it and print a row; with `steps`, the stepwise engine beside it."""
        rate, requests = _median(lambda: _run(source, spec, world))
        self.us[name] = 1e6 / rate
        beside = ""
        if steps:
            slow = _stepwise(lambda: _run(source, spec, world))
            beside = f"   single steps {slow:8,.0f}/s, {rate / slow:4.1f}x"
        print(f"{name:44} {requests:8,} requests {rate:10,.0f}/s {1e6 / rate:7.1f} µs{beside}", flush=True)

    def ratio(self, what: str, name: str, base: str, target: float) -> None:
        """Print how much more a request costs than in another case."""
        print(f"  {what}: {self.us[name] / self.us[base]:.2f} times the cost (target {target:g})", flush=True)


def _run(source: WorkloadSource, spec: DeploymentBody, world: WorldSpec) -> tuple[float, int]:
    began_s = time.process_time()
    result = simulate(spec, source.arrivals(), world=world).result
    return result.requests.offered / (time.process_time() - began_s), result.requests.offered


def _median(run: Callable[[], tuple[float, int]]) -> tuple[float, int]:
    runs = [run() for _ in range(RUNS)]
    return statistics.median(rate for rate, _ in runs), runs[0][1]


def _stepwise(run: Callable[[], tuple[float, int]]) -> float:
    """Once, with timelines that take every step by itself."""

    def single(*args: Any, **kwargs: Any) -> Timeline:
        return Timeline(*args, **{**kwargs, "burst": False})

    with patch.object(virtual_worker, "Timeline", single):
        return run()[0]


def conversations(count: int, seed: int) -> Iterator[Arrival]:
    """Made requests that go on where earlier ones ended: 12,000 tokens in on average, three a second."""
    draw = Random(seed)
    talks: list[tuple[int, ...]] = [()]
    at_s, name = 0.0, 0
    for _ in range(count):
        at_s += draw.expovariate(3.0)
        before = talks[draw.randrange(len(talks))] if draw.random() < 0.6 else ()
        fresh = 1 + int(draw.expovariate(1 / 12))
        blocks = (before + tuple(range(name, name + fresh)))[:200]
        name += fresh
        talks = [*talks[-300:], blocks]
        yield Arrival(at_s, len(blocks) * 512 + draw.randrange(512), 1 + int(draw.expovariate(1 / 340)), blocks)


def split(arrivals: Iterator[Arrival]) -> Iterator[Arrival]:
    """The same prompts, named by blocks of 16 tokens."""
    for each in arrivals:
        blocks = [page * SPLIT + place for page in each.prefix_blocks for place in range(SPLIT)]
        kept = tuple(blocks[: -(-each.input_tokens // 16)])
        yield Arrival(each.arrival_s, each.input_tokens, each.output_tokens, kept, 16)


def a_day(count: int, seed: int) -> Iterator[Arrival]:
    """A day of code-like requests, with twice the mean rate at noon and none at midnight."""
    draw = Random(seed)
    instants = sorted(draw.betavariate(2, 2) * 86_400 for _ in range(count))
    for at_s in instants:
        yield Arrival(at_s, 1 + int(draw.expovariate(1 / 2000)), 1 + int(draw.expovariate(1 / 28)))


def _written(arrivals: Iterator[Arrival], path: Path) -> str:
    with path.open("wb") as file:
        penstock_jsonl.write(arrivals, file)
    return str(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--azure", default="azure-code-excerpt", help="a trace without prefixes")
    parser.add_argument("--mooncake", help="a trace with pages of 512 tokens")
    parser.add_argument("--day", action="store_true", help="also a made day of 500,000 requests: minutes")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        try:
            _all(options, Path(folder))
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


def _all(options: argparse.Namespace, folder: Path) -> None:
    bench = Bench()
    azure = WorkloadSource(trace=options.azure)
    bench.case("plain, 2 workers", azure, deployment(2), steps=True)
    busier = WorkloadSource(trace=options.azure, speed=64)
    bench.case("plain 64x, 128 workers", busier, deployment(128))
    bench.ratio("128 workers at the same load each", "plain 64x, 128 workers", "plain, 2 workers", 2)

    eight = WorkloadSource(trace=options.azure, speed=8)
    unseen = "plain 8x, 4 workers, nobody looks"
    bench.case(unseen, eight, deployment(4))
    for name, spec, world in (
        ("the same, scrapes of 1 s", deployment(4), SCRAPED),
        ("the same, planner, scrapes of 1 s", deployment(4, _scaled("planner", 4, 4)), SCRAPED),
        ("the same, KEDA through Prometheus", deployment(4, _scaled("keda", 4, 4)), PROMETHEUS),
    ):
        bench.case(name, eight, spec, world)
        bench.ratio("ticks and scrapes", name, unseen, 1.2)

    pages = options.mooncake or _written(conversations(3000, seed=1), folder / "pages.jsonl")
    source = WorkloadSource(trace=pages)
    bench.case("pages of 512 tokens, 4 workers", source, deployment(4), steps=True)
    blocks = _written(split(source.arrivals()), folder / "blocks.jsonl")
    bench.case("the same in blocks of 16, 4 workers", WorkloadSource(trace=blocks), deployment(4))
    bench.ratio("blocks of 16", "the same in blocks of 16, 4 workers", "pages of 512 tokens, 4 workers", 3)

    if options.day:
        day = WorkloadSource(trace=_written(a_day(500_000, seed=1), folder / "day.jsonl"))
        bench.case("a day of 500,000, planner up to 64", day, deployment(64, _scaled("planner", 1, 64)), WorldSpec())


def _scaled(by: str, least: int, most: int) -> dict[str, Any]:
    if by == "planner":
        return {"by": by, "min": least, "max": most}
    query = "sum(vllm:num_requests_waiting)"
    trigger = {"metric": "queue_requests", "threshold": 4, "metric_type": "AverageValue", "query": query}
    return {"by": by, "min": least, "max": most, "triggers": [trigger]}


if __name__ == "__main__":
    sys.exit(main())
