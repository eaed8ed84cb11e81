"""What prefix-aware routing is worth: a trace with shared prefixes, run in virtual time under each policy.

Several engine timelines behind one router, as in the simulator: KV events, first tokens and ends reach the router when
they happen. The router does not know how long answers will be. Printed for each policy: prompt tokens found cached, as
a share of those possible (one cache, shared and endless), TTFT, ITL, and how evenly the prompts were spread.

    python benchmarks/routing_mooncake.py --trace conversation_trace.jsonl --minutes 10 --workers 4
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.engine.timeline import Moment, Timeline
from penstock.errors import InputError
from penstock.hardware.steptime import TICKS_PER_S, StepTime
from penstock.kvcache.pool import PagesStored
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role
from penstock.router.policy import PolicyName
from penstock.router.route_request import RouteRequest
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo, WorkerLoad
from penstock.workload.arrival import Arrival
from penstock.workload.detect import open_trace
from penstock.workload.window import window

SCRAPE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One policy on one workload; hits as a share of those possible."""

    policy: str
    hit_share: float
    ttft_p50_s: float
    ttft_p95_s: float
    itl_mean_s: float
    busiest_over_mean: float


def possible_hits(arrivals: Sequence[Arrival]) -> int:
    """Prompt tokens that one shared, endless cache would have had."""
    seen: set[int] = set()
    hits = 0
    for arrival in arrivals:
        depth = 0
        usable = (arrival.input_tokens - 1) // arrival.block_tokens
        while depth < min(usable, len(arrival.prefix_blocks)) and arrival.prefix_blocks[depth] in seen:
            depth += 1
        hits += depth * arrival.block_tokens
        seen.update(full_blocks(arrival))
    return hits


def full_blocks(arrival: Arrival) -> tuple[int, ...]:
    """The blocks that the prompt fills: only these are cached."""
    return arrival.prefix_blocks[: arrival.input_tokens // arrival.block_tokens]


class Run:
    """Some workers, a router, and the records of a run."""

    def __init__(self, policy: PolicyName, spec: EngineSpec, workers: int, page_tokens: int) -> None:
        config = EngineConfig(
            max_num_seqs=spec.max_num_seqs,
            max_num_batched_tokens=spec.max_num_batched_tokens,
            block_tokens=spec.block_tokens,
            kv_blocks=spec.kv_blocks,
            role=Role.WORKER,
            page_blocks=page_tokens // spec.block_tokens,
        )
        step_time = StepTime.from_spec(spec.step_time)
        self.router = Router(policy, 0.5, 0.05, block_tokens=page_tokens)
        self.timelines = {f"w{n}": Timeline(Engine(config), step_time) for n in range(workers)}
        for worker in self.timelines:
            self.router.add_worker(WorkerInfo(id=worker, engine=spec))
        self.prompt_tokens = dict.fromkeys(self.timelines, 0)
        self.arrived_s: dict[int, float] = {}
        self.first_s: dict[int, float] = {}
        self.output_tokens: dict[int, int] = {}
        self.itl_sum_s = 0.0
        self.tokens = 0
        self.scrape_at_s = SCRAPE_S

    def arrive(self, number: int, arrival: Arrival) -> None:
        """Route one request and hand it over."""
        at = round(arrival.arrival_s * TICKS_PER_S)
        self.advance(at)
        now_s = at / TICKS_PER_S
        if now_s >= self.scrape_at_s:
            self.scrape(now_s)
        blocks = full_blocks(arrival)
        request = RouteRequest(id=number, prompt_tokens=arrival.input_tokens, block_hashes=blocks)
        choice = self.router.choose(request, now_s=now_s)
        if choice is None:
            raise RuntimeError("no worker, though none was excluded")
        self.router.sent(request, choice, now_s)
        self.arrived_s[number] = now_s
        self.output_tokens[number] = arrival.output_tokens
        self.prompt_tokens[choice.worker] += arrival.input_tokens
        self.timelines[choice.worker].add(
            at, EngineRequest(number, arrival.input_tokens, arrival.output_tokens, blocks)
        )

    def advance(self, to: int) -> None:
        """Run all workers up to an instant, and tell the router in the order of instants."""
        moments = [
            (moment.at, worker, moment) for worker, line in self.timelines.items() for moment in line.advance(to)
        ]
        moments.sort(key=lambda entry: entry[0])
        for at, worker, moment in moments:
            self.tell(worker, moment, at / TICKS_PER_S)

    def tell(self, worker: str, moment: Moment, now_s: float) -> None:
        """Pass on what came of some steps."""
        router, progress = self.router, moment.progress
        for event in progress.cache:
            if isinstance(event, PagesStored):
                router.stored(worker, event.hashes, event.parent)
            else:
                router.removed(worker, event.hashes)
        for number in progress.first_tokens:
            self.first_s[number] = now_s
            router.first_token(number, now_s)
        for number in progress.finished:
            router.finished(number, now_s, self.output_tokens[number])
        for gaps in moment.gaps:
            self.itl_sum_s += (
                gaps.sequences
                * (gaps.steps * gaps.first + gaps.growth * (gaps.steps * (gaps.steps - 1) // 2))
                / TICKS_PER_S
            )
            self.tokens += gaps.sequences * gaps.steps

    def scrape(self, now_s: float) -> None:
        """Tell the router what each worker would tell."""
        self.scrape_at_s = now_s + SCRAPE_S
        for worker, line in self.timelines.items():
            engine = line.engine
            load = WorkerLoad(at_s=now_s, running=engine.running, waiting=engine.waiting, kv_usage=engine.kv_usage)
            self.router.measured(worker, load, now_s)

    def finish(self) -> None:
        """Run until nothing is left."""
        while ends := [end for line in self.timelines.values() if (end := line.next_event()) is not None]:
            self.advance(min(ends))


def simulate(policy: PolicyName, arrivals: Sequence[Arrival], spec: EngineSpec, workers: int, possible: int) -> Outcome:
    """Run one policy over the workload."""
    run = Run(policy, spec, workers, arrivals[0].block_tokens)
    for number, arrival in enumerate(arrivals):
        run.arrive(number, arrival)
    run.finish()
    if len(run.first_s) != len(arrivals) or run.router.in_flight:
        raise RuntimeError(f"{len(arrivals)} sent, {len(run.first_s)} answered, {run.router.in_flight} still in flight")
    ttfts = sorted(run.first_s[number] - run.arrived_s[number] for number in run.first_s)
    hits = sum(line.engine.prefix_hits for line in run.timelines.values())
    spread = list(run.prompt_tokens.values())
    return Outcome(
        policy=policy,
        hit_share=hits / possible if possible else 0.0,
        ttft_p50_s=ttfts[len(ttfts) // 2],
        ttft_p95_s=ttfts[int(len(ttfts) * 0.95)],
        itl_mean_s=run.itl_sum_s / max(run.tokens, 1),
        busiest_over_mean=max(spread) * len(spread) / sum(spread),
    )


def main() -> None:
    """Read the options, run each policy, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, required=True, help="a trace with prefix blocks, as Mooncake's")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the trace, from its start (default 10)")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--speed", type=float, default=1.0, help="replay faster (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="places requests within the trace's 3 s quanta")
    parser.add_argument(
        "--kv-tokens",
        type=int,
        default=16_000_000,
        help="KV cache of a worker, in tokens (default 16M: nothing evicted)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    options = parser.parse_args()
    try:
        trace = open_trace(options.trace)
        stretch = window(trace.arrivals(seed=options.seed), duration_s=options.minutes * 60, speed=options.speed)
        arrivals = [arrival for arrival in stretch if arrival.prefix_blocks]
    except InputError as error:
        sys.exit(str(error))
    if not arrivals:
        sys.exit(f"{options.trace}: no request with prefix blocks in that stretch")
    spec = EngineSpec(kv_blocks=options.kv_tokens // 16)
    possible = possible_hits(arrivals)
    prompt = sum(arrival.input_tokens for arrival in arrivals)
    outcomes = [simulate(policy, arrivals, spec, options.workers, possible) for policy in get_args(PolicyName)]
    if options.json:
        print(json.dumps({outcome.policy: {f: getattr(outcome, f) for f in Outcome.__slots__} for outcome in outcomes}))
        return
    print(f"{len(arrivals)} requests, {prompt / 1e6:.1f}M prompt tokens, {possible / prompt:.1%} of them could be hits")
    print(f"{options.workers} workers of {options.kv_tokens} KV tokens, speed {options.speed:g}, seed {options.seed}")
    print(
        f"{'policy':<13} {'of possible hits':>16} {'TTFT p50':>9} {'TTFT p95':>9} {'ITL mean':>9} {'busiest/mean':>12}"
    )
    for outcome in outcomes:
        print(
            f"{outcome.policy:<13} {outcome.hit_share:>16.1%} {outcome.ttft_p50_s:>7.3f} s "
            f"{outcome.ttft_p95_s:>7.3f} s {1000 * outcome.itl_mean_s:>6.1f} ms {outcome.busiest_over_mean:>12.2f}"
        )


if __name__ == "__main__":
    main()
