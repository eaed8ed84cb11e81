"""How many requests per second the engine core simulates, in bursts and step by step, in the same run.

Engine timelines alone: requests are dealt out round robin, so no router and no records are counted. Both modes write
the same history (the tests compare them exactly); here the number of tokens is compared. CPU time of one core.

    python benchmarks/bench_engine.py
    python benchmarks/bench_engine.py --trace trace.csv --workers 2 --speed 8
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.timeline import Timeline
from penstock.errors import InputError
from penstock.hardware.steptime import TICKS_PER_S, StepTime
from penstock.messages.engine_spec import StepTimeSpec
from penstock.workload.arrival import Arrival
from penstock.workload.detect import open_trace

# About an 8B model on an 80 GiB GPU: 10 µs a prompt token, 8 ms a step.
STEP_TIME = StepTime.from_spec(StepTimeSpec(base_s=8e-3, prefill_token_s=1e-5, sequence_s=2e-5, context_token_s=1e-8))
BLOCK_TOKENS = 16
PAGE_TOKENS = 512  # that one hash of the traffic names
KV_TOKENS = 2**20
Load = list[tuple[int, EngineRequest]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One workload on several equal engines."""

    name: str
    workers: int
    load: Callable[[], Load]


def made(requests: int, rate: float, prompt: int, output: int, *, seed: int, shared_pages: bool = False) -> Load:
    """Poisson arrivals with log-normal lengths of these means; with pages, conversations that go on and share them."""
    random = Random(seed)
    load: Load = []
    talks: list[tuple[int, ...]] = []
    at, name = 0, 0
    for number in range(requests):
        at += int(random.expovariate(rate) * TICKS_PER_S)
        tokens = max(1, int(random.lognormvariate(-0.5, 1) * prompt))
        hashes: tuple[int, ...] = ()
        if shared_pages:
            if talks and random.random() < 0.6:
                hashes = talks[-1 - min(int(random.expovariate(0.01)), len(talks) - 1)]
                tokens = len(hashes) * PAGE_TOKENS + max(1, int(random.lognormvariate(-0.5, 1) * prompt * 0.2))
            fresh = tokens // PAGE_TOKENS - len(hashes)
            hashes += tuple(range(name, name + fresh))
            name += fresh
            talks.append(hashes)
            del talks[:-1000]
        tokens = min(tokens, 120_000)
        out = min(max(1, int(random.lognormvariate(-0.5, 1) * output)), 2000)
        load.append((at, EngineRequest(number, tokens, out, hashes[: tokens // PAGE_TOKENS])))
    return load


def traced(arrivals: Iterable[Arrival], speed: float) -> Load:
    """The requests of a trace, with the names of their full pages where it has them."""
    load: Load = []
    for number, arrival in enumerate(arrivals):
        pages = arrival.prefix_blocks[: arrival.input_tokens // arrival.block_tokens]
        request = EngineRequest(number, arrival.input_tokens, arrival.output_tokens, pages)
        load.append((int(arrival.arrival_s / speed * TICKS_PER_S), request))
    return load


def run(case: Case, load: Sequence[tuple[int, EngineRequest]], *, burst: bool) -> tuple[float, int, int]:
    """Returns: (requests per CPU second, tokens produced, commits)."""
    config = EngineConfig(
        max_num_seqs=256,
        max_num_batched_tokens=8192,
        block_tokens=BLOCK_TOKENS,
        kv_blocks=KV_TOKENS // BLOCK_TOKENS,
        page_blocks=PAGE_TOKENS // BLOCK_TOKENS,
    )
    tokens = commits = 0
    begin = time.process_time()
    for worker in range(case.workers):
        timeline = Timeline(Engine(config), STEP_TIME, burst=burst)
        advance, add = timeline.advance, timeline.add
        for at, request in load[worker :: case.workers]:
            for moment in advance(at):
                commits += 1
                tokens += len(moment.progress.first_tokens)
                for gap in moment.gaps:
                    tokens += gap.steps * gap.sequences
            add(at, request)
        for moment in advance(sys.maxsize):
            commits += 1
            tokens += len(moment.progress.first_tokens)
            for gap in moment.gaps:
                tokens += gap.steps * gap.sequences
        timeline.engine.check()
    return len(load) / (time.process_time() - begin), tokens, commits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", help="a trace file instead of made traffic")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--speed", type=float, default=1.0, help="plays the trace that many times faster")
    parser.add_argument("--requests", type=int, default=20_000, help="of made traffic")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    count, seed, workers = args.requests, args.seed, args.workers
    if args.trace:
        try:
            load = traced(open_trace(args.trace).arrivals(), args.speed)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        name = f"{args.trace.rpartition('/')[2]}, {args.speed:g}x"
        cases = [Case(name=name, workers=workers, load=lambda: load)]
    else:
        cases = [
            Case(
                name=name,
                workers=workers,
                load=lambda rate=rate, shape=shape, pages=pages: made(  # type: ignore[misc]
                    count, rate, *shape, seed=seed, shared_pages=pages
                ),
            )
            for name, rate, shape, pages in (
                ("code-like, 2000 in, 28 out", 5.0, (2000, 28), False),
                ("chat-like, 1150 in, 210 out", 5.0, (1150, 210), False),
                ("chat-like, saturated", 60.0, (1150, 210), False),
                ("512-token pages, 12000 in, 340 out", 3.0, (12_000, 340), True),
            )
        ]
    print(f"{'workload':40} {'bursts':>10} {'single steps':>13} {'ratio':>6} {'commits a request':>18}")
    for case in cases:
        load = case.load()
        fast, tokens, commits = run(case, load, burst=True)
        slow, same_tokens, _commits = run(case, load, burst=False)
        if tokens != same_tokens:
            print(f"{case.name}: {tokens} tokens in bursts, {same_tokens} in single steps", file=sys.stderr)
            return 1
        print(f"{case.name:40} {fast:8,.0f}/s {slow:11,.0f}/s {fast / slow:5.1f}x {commits / len(load):18.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
