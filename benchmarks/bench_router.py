"""What a choice costs the gateway and the simulator, per request, in one run on one core.

Requests come, get their first token and end when the router predicts it, so that workers are as busy as in service:
about 60 % of their prefill time. Ratios compare rows of the same run; absolute times depend on the machine.

    python benchmarks/bench_router.py [--json]
"""

import argparse
import heapq
import json
from dataclasses import asdict, dataclass
from time import perf_counter

from penstock.messages.engine_spec import EngineSpec
from penstock.router.policy import PolicyName
from penstock.router.route_request import RouteRequest
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo

REQUESTS = 12_000
ROUNDS = 3  # the fastest counts: the machine may be shared
RATE_PER_WORKER = 15.0  # requests of 3000 tokens on average: 0.6 of the prefill capacity of the default engine
BLOCK_TOKENS = 16
SYSTEM_BLOCKS = 16  # shared by all prompts
CONVERSATIONS_PER_WORKER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds per request."""

    policy: PolicyName
    workers: int
    blocks: int
    choose_us: float
    report_us: float  # sent, first_token and finished together


def measure(policy: PolicyName, workers: int, blocks: int) -> Cost:
    """Run some thousand requests through a fresh router; `blocks` of each prompt are hashed, 0 for none."""
    router = Router(policy, 0.5, 0.05, block_tokens=BLOCK_TOKENS)
    for number in range(workers):
        router.add_worker(WorkerInfo(id=f"w{number}", engine=EngineSpec(kv_blocks=262_144)))
    events: list[tuple[float, int, bool]] = []
    choosing = reporting = now_s = 0.0
    system = list(range(SYSTEM_BLOCKS))
    for number in range(REQUESTS):
        now_s += 1 / (RATE_PER_WORKER * workers)
        while events and events[0][0] <= now_s:
            at_s, other, ends = heapq.heappop(events)
            began = perf_counter()
            if ends:
                router.finished(other, at_s, 200)
            else:
                router.first_token(other, at_s)
            reporting += perf_counter() - began
        conversation = (number * 7919) % (CONVERSATIONS_PER_WORKER * workers) + 1
        hashes = system + [conversation << 32 | block for block in range(blocks - SYSTEM_BLOCKS)] if blocks else []
        tokens = blocks * BLOCK_TOKENS + 100 if blocks else 2000 + (number * 7919) % 2000
        request = RouteRequest(id=number, prompt_tokens=tokens, expected_output_tokens=200, block_hashes=hashes)
        began = perf_counter()
        choice = router.choose(request, now_s=now_s)
        chosen = perf_counter()
        if choice is None:
            raise RuntimeError("no worker, though none was excluded")
        router.sent(request, choice, now_s)
        reporting += perf_counter() - chosen
        choosing += chosen - began
        first_s = now_s + choice.predicted_ttft_s
        heapq.heappush(events, (first_s, number, False))
        heapq.heappush(events, (first_s + 200 * 0.004, number, True))
    return Cost(
        policy=policy,
        workers=workers,
        blocks=blocks,
        choose_us=choosing / REQUESTS * 1e6,
        report_us=reporting / REQUESTS * 1e6,
    )


def main() -> None:
    """Measure each case and print it against the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    options = parser.parse_args()
    cases: list[tuple[PolicyName, int, int]] = [
        ("round-robin", 2, 0),
        ("least-loaded", 2, 0),
        ("kv", 2, 0),
        ("kv", 8, 0),
        ("kv", 32, 0),
        ("kv", 128, 0),
        ("kv", 2, 128),
        ("kv", 128, 128),
    ]
    costs = [min((measure(*case) for _ in range(ROUNDS)), key=lambda cost: cost.choose_us) for case in cases]
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs]))
        return
    first = costs[0].choose_us
    print(
        f"{'policy':<13} {'workers':>7} {'blocks':>6} {'choose':>9} {'reports':>9} {'choose, against round-robin':>28}"
    )
    for cost in costs:
        print(
            f"{cost.policy:<13} {cost.workers:>7} {cost.blocks:>6} {cost.choose_us:>6.2f} µs {cost.report_us:>6.2f} µs "
            f"{cost.choose_us / first:>27.2f}x"
        )
    two, most = (next(c for c in costs if (c.policy, c.workers, c.blocks) == ("kv", n, 0)) for n in (2, 128))
    print(f"64 times the workers cost {most.choose_us / two.choose_us:.1f} times the choice")


if __name__ == "__main__":
    main()
