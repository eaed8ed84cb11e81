"""A made-up run, seeded: what the control loop would tell its listeners, second by second, without any process.

Demand has a slow wave and bursts; replicas start with a delay and drain; latency grows with utilisation. Run as a
script, it serves the live page from it: `python tests/telemetry/fake_run.py [--pools 2] [--port 8080] [--ahead-s 840]`.
"""

import argparse
import asyncio
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import NodePoolSeen, Observation, PoolSeen, Sample, Signal, WorkerSeen
from penstock.messages.outcome import Ending, RequestOutcome
from penstock.messages.parse_spec import parse_spec
from penstock.messages.result import GpuHours
from penstock.messages.spec import ComponentSpec, InferenceDeployment
from penstock.telemetry.feed import Costs, Feed
from penstock.telemetry.journal import Journal
from penstock.telemetry.requests_file import write_requests
from penstock.telemetry.run_info import RunInfo, write_run_info
from penstock.telemetry.summary import Summary, result_to_json

USD_PER_HOUR = 6.98
START_S = 8.0

AGGREGATED = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: azure-code}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05, percentile: 95, windowSeconds: 60}
  components:
    - {name: frontend, role: frontend}
    - name: worker
      role: worker
      engine: {type: simulated, startup: {coldSeconds: 8, warmSeconds: 3}}
      gpu: {vmSize: Standard_NC40ads_H100_v5, count: 1}
      autoscaling: {by: planner, min: 1, max: 6}
"""
DISAGGREGATED = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: qwen3-disaggregated}
spec:
  model: {name: Qwen/Qwen3-0.6B}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.04, percentile: 95}
  components:
    - {name: frontend, role: frontend}
    - name: prefill
      role: prefill
      engine: {type: simulated}
      gpu: {vmSize: Standard_NC40ads_H100_v5, count: 1}
      autoscaling: {by: planner, min: 1, max: 4}
    - name: decode
      role: decode
      engine: {type: simulated}
      gpu: {vmSize: Standard_NC40ads_H100_v5, count: 1}
      autoscaling: {by: planner, min: 1, max: 6}
"""


def deployment(pools: int = 1) -> InferenceDeployment:
    return parse_spec(AGGREGATED if pools == 1 else DISAGGREGATED, source="fake_run.py")


@dataclass
class _Replica:
    name: str
    ready_at_s: float
    since_s: float
    draining_until_s: float | None = None
    hit_ratio: float = 0.0


@dataclass
class _Pool:
    """One pool: replicas that start late, drain, and carry `per_replica` requests a second."""

    spec: ComponentSpec
    per_replica: float
    replicas: list[_Replica] = field(default_factory=list)
    started: int = 0
    queue: float = 0.0
    last_in_s: float = -1e9

    def scale(self, desired: int, now_s: float, start_s: float) -> None:
        active = [each for each in self.replicas if each.draining_until_s is None]
        for _ in range(desired - len(active)):
            self.replicas.append(_Replica(f"{self.spec.name}-{self.started}", now_s + start_s, now_s))
            self.started += 1
        for each in active[desired:]:
            each.draining_until_s = now_s + 6.0


class FakeRun:
    """Steps a second at a time; yields what a listener hears, in order."""

    def __init__(self, spec: InferenceDeployment, *, seed: int, with_nodes: bool = False) -> None:
        self.spec = spec
        self.with_nodes = with_nodes
        self.random = random.Random(seed)
        rates = [5.4] if len(spec.spec.pools) == 1 else [9.0, 6.2, 5.0]
        self.pools = [_Pool(pool, rate) for pool, rate in zip(spec.spec.pools, rates, strict=False)]
        for pool in self.pools:
            pool.scale(pool.spec.initial_replicas, 0.0, 0.0)
        self.totals = dict.fromkeys(
            ("ttft_observed", "ttft_within", "itl_observed", "itl_within", "rejected", "failed", "retries"), 0.0
        )
        self.hours = dict.fromkeys(("serving", "starting", "draining"), 0.0)
        self.peak = 0
        self.static_usd = 0.0
        self.costs: Costs | None = None

    def demand(self, t: float) -> float:
        wave = 8.2 + 3.6 * math.sin(t / 140) + 2 * math.sin(t / 31)
        burst = sum(11 * math.exp(-(((t % 420) - at) ** 2) / (2 * 24**2)) for at in (150, 330))
        return max(0.2, min(1.0, 0.25 + t / 60) * (wave + burst) * (1 + 0.09 * self.random.gauss(0, 1)))

    def events(self, until_s: float, *, from_s: int = 0) -> Iterator[Observation | Decision]:
        for second in range(from_s, int(until_s)):
            yield from self.second(float(second))

    def second(self, t: float) -> Iterator[Observation | Decision]:
        demand = self.demand(t)
        observation = self._observe(t, demand)
        self._charge(t)
        yield observation
        if t % 5 == 0:
            for pool in self.pools:
                yield self._decide(pool, t, demand)

    def _observe(self, t: float, demand: float) -> Observation:
        seen, worst = [], 0.0
        for pool in self.pools:
            pool.replicas = [r for r in pool.replicas if r.draining_until_s is None or r.draining_until_s > t]
            ready = [r for r in pool.replicas if r.ready_at_s <= t and r.draining_until_s is None]
            capacity = max(0.3, pool.per_replica * len(ready))
            load = demand / capacity
            pool.queue = max(0.0, pool.queue * 0.6 + (demand - capacity) * 1.2)
            worst = max(worst, load + pool.queue / (4 * capacity))
            seen.append(self._pool_seen(pool, t, demand, min(1.0, load), ready))
        noise = 1 + 0.06 * self.random.gauss(0, 1)
        ttft_s = (0.14 + 0.2 * worst**3 + (0.7 * (worst - 1) if worst > 1 else 0)) * noise
        itl_s = (0.018 + 0.017 * min(worst, 1.6) ** 2) * (1 + 0.03 * self.random.gauss(0, 1))
        self._count(demand, ttft_s, itl_s)
        slo = self.spec.spec.slo
        for place, pool_seen in enumerate(seen):
            signals = dict(pool_seen.signals)
            if place == 0:
                signals[Signal.TTFT] = Sample(value=ttft_s, age_s=0.4)
            if place == len(seen) - 1:
                signals[Signal.ITL] = Sample(value=itl_s * slo.itl_s / 0.05, age_s=0.4)
            seen[place] = PoolSeen(
                component=pool_seen.component,
                desired=pool_seen.desired,
                starting=pool_seen.starting,
                ready=pool_seen.ready,
                draining=pool_seen.draining,
                signals=signals,
                workers=pool_seen.workers,
            )
        return Observation(
            time_s=t,
            pools=tuple(seen),
            totals={**self.totals, "held": 0.0, "in_flight": demand * 2},
            nodes=(self._nodes_seen(t),) if self.with_nodes else (),
        )

    def _nodes_seen(self, t: float) -> NodePoolSeen:
        """A node a replica, and one that is kept warm."""
        replicas = [replica for pool in self.pools for replica in pool.replicas]
        ready = sum(replica.ready_at_s <= t for replica in replicas)
        coming = sum(t < replica.ready_at_s - 3.0 for replica in replicas)
        return NodePoolSeen(
            vm_size="Standard_NC40ads_H100_v5",
            gpus_per_node=1,
            provisioning=coming,
            cold=len(replicas) - ready - coming,
            warm=ready + 1,
            deallocated=max(0, 7 - len(replicas)),
            in_use=len(replicas) - coming,
        )

    def _pool_seen(self, pool: _Pool, t: float, demand: float, load: float, ready: list[_Replica]) -> PoolSeen:
        workers = []
        for replica in pool.replicas:
            serves = replica in ready
            state = "ready" if serves else "draining" if replica.draining_until_s else "starting"
            share = load * self.random.uniform(0.85, 1.1) if serves else 0.25 if state == "draining" else 0.0
            replica.hit_ratio = min(0.62, replica.hit_ratio + 0.012) if serves else replica.hit_ratio
            workers.append(
                WorkerSeen(
                    id=replica.name,
                    state=state,
                    since_s=replica.since_s,
                    ready_at_s=replica.ready_at_s if state == "starting" else None,
                    running=round(share * 14),
                    queue=round(pool.queue / max(1, len(ready))) if serves else 0,
                    kv_usage=min(1.0, share * 0.72),
                    hit_ratio=replica.hit_ratio,
                )
            )
        kv = sum(w.kv_usage for w in workers if w.state == "ready") / max(1, len(ready))
        hits = sum(w.hit_ratio for w in workers if w.state == "ready") / max(1, len(ready))
        signals = {
            Signal.DEMAND: demand,
            Signal.QUEUE: round(pool.queue),
            Signal.RUNNING: sum(w.running for w in workers),
            Signal.IN_FLIGHT: sum(w.running + w.queue for w in workers),
            Signal.KV_USAGE: kv,
            Signal.HIT_RATIO: hits,
            Signal.LEAD_TIME: START_S,
        }
        draining = sum(w.state == "draining" for w in workers)
        return PoolSeen(
            component=pool.spec.name,
            desired=len(workers) - draining,
            starting=sum(w.state == "starting" for w in workers),
            ready=len(ready),
            draining=draining,
            signals={name: Sample(value=value, age_s=0.4) for name, value in signals.items()},
            workers=tuple(workers),
        )

    def _count(self, demand: float, ttft_s: float, itl_s: float) -> None:
        """Requests of one second around these percentiles, as the gateway's histograms would count them."""
        slo = self.spec.spec.slo
        requests = round(demand)
        late = min(1.0, 0.05 * (ttft_s / slo.ttft_s) ** 6)
        slow = min(1.0, 0.05 * (itl_s / 0.05) ** 6)
        self.totals["ttft_observed"] += requests
        self.totals["ttft_within"] += requests * (1 - late)
        self.totals["itl_observed"] += requests * 40
        self.totals["itl_within"] += requests * 40 * (1 - slow)
        if ttft_s > 2 * slo.ttft_s and self.random.random() < 0.3:
            self.totals["retries"] += 1

    def _charge(self, t: float) -> None:
        replicas = [replica for pool in self.pools for replica in pool.replicas]
        for replica in replicas:
            state = "draining" if replica.draining_until_s else "serving" if replica.ready_at_s <= t else "starting"
            self.hours[state] += 1 / 3600
        self.peak = max(self.peak, len(replicas))
        spent = sum(self.hours.values()) * USD_PER_HOUR
        self.costs = Costs(
            usd_per_hour=len(replicas) * USD_PER_HOUR,
            spent_usd=spent,
            static_peak_usd=self.peak * (t + 1) / 3600 * USD_PER_HOUR,
            gpu_hours=GpuHours(total=sum(self.hours.values()), warm=0.0, **self.hours),
        )

    def _decide(self, pool: _Pool, t: float, demand: float) -> Decision:
        scaling = pool.spec.autoscaling
        assert scaling.by == "planner"
        ahead = [8.2 + 3.6 * math.sin((t + s) / 140) + 2 * math.sin((t + s) / 31) for s in range(int(START_S))]
        forecast = max(demand, *ahead) * 1.2
        current = sum(replica.draining_until_s is None for replica in pool.replicas)
        ready = sum(r.draining_until_s is None and r.ready_at_s <= t for r in pool.replicas)
        wants = math.ceil(forecast / pool.per_replica)
        desired, limit = min(max(wants, scaling.min), scaling.max), LimitedBy.NONE
        if wants > scaling.max:
            limit = LimitedBy.MAX
        if desired < current and t - pool.last_in_s < 30:
            desired, limit = current, LimitedBy.COOL_IN
        elif desired < current:
            desired, pool.last_in_s = current - 1, t
        pool.scale(desired, t, START_S)
        verb = "add" if desired > current else "remove" if desired < current else "keep"
        count = abs(desired - current) or current
        because = {
            LimitedBy.MAX: f"; {wants} would be needed, but max is {scaling.max}",
            LimitedBy.COOL_IN: f"; {wants} would do, but the last scale-in was {t - pool.last_in_s:.0f} s ago",
        }.get(limit, "")
        reason = (
            f"{verb.capitalize()} {count}: demand {demand:.1f} requests/s, up to {forecast:.1f} within the lead time "
            f"of {START_S:.0f} s at 95 %; one replica carries {pool.per_replica:.1f} within target, "
            f"{ready} are ready{because}."
        )
        return Decision(
            time_s=t,
            component=pool.spec.name,
            policy="planner",
            current=current,
            desired=desired,
            limited_by=limit,
            reason=reason,
            seen={Signal.DEMAND: Sample(value=demand, age_s=0.4)},
            figures={"demand": demand, "forecast": forecast, "capacity_per_replica": pool.per_replica},
        )


def play(feed: Feed, events: Iterator[Observation | Decision]) -> None:
    """Tell a feed everything, as the control loop would."""
    for event in events:
        if isinstance(event, Observation):
            feed.observed(event)
        else:
            feed.decided(event)


def record(
    directory: Path, *, pools: int = 1, length_s: int = 600, seed: int = 1, with_nodes: bool = False
) -> list[RequestOutcome]:
    """Leave a run's files in a directory, as `up` and `load` would; returns its requests."""
    spec = deployment(pools)
    run = FakeRun(spec, seed=seed, with_nodes=with_nodes)
    generator = random.Random(seed + 1)
    journal = Journal(directory)
    outcomes: list[RequestOutcome] = []
    for event in run.events(length_s):
        if isinstance(event, Decision):
            journal.decided(event)
            continue
        journal.observed(event)
        outcomes.extend(_requests(event, generator))
    journal.close()
    write_requests(directory / "requests.jsonl", outcomes)
    summary = Summary(spec.spec.slo)
    for outcome in outcomes:
        summary.add(outcome)
    costs = run.costs
    assert costs is not None
    result = summary.result(
        gpu_hours=costs.gpu_hours, cost_usd=costs.spent_usd, replicas={}, scale_events=14, wall_s=float(length_s)
    )
    (directory / "summary.json").write_bytes(orjson.dumps(result_to_json(result)))
    text = AGGREGATED if pools == 1 else DISAGGREGATED
    command = ("penstock", "demo", "--out", "out/demo")
    write_run_info(
        directory, RunInfo(command=command, spec=text, seed=seed, started_unix_s=1_790_000_000.0, utc_offset_s=0)
    )
    return outcomes


def _requests(seen: Observation, generator: random.Random) -> Iterator[RequestOutcome]:
    """The requests of one second: their p95s are about what was observed."""
    ttft_s = max(pool.signals[Signal.TTFT].value for pool in seen.pools if Signal.TTFT in pool.signals)
    itl_s = max(pool.signals[Signal.ITL].value for pool in seen.pools if Signal.ITL in pool.signals)
    for number in range(round(seen.pools[0].signals[Signal.DEMAND].value)):
        at_s = seen.time_s + generator.random()
        first_s = ttft_s * min(1.3, generator.lognormvariate(-0.6, 0.4))
        gaps = tuple((itl_s * generator.uniform(0.5, 1.02), 10) for _ in range(4))
        refused = ttft_s > 1.2 and generator.random() < 0.08
        yield RequestOutcome(
            id=f"r{seen.time_s:.0f}-{number}",
            intended_s=at_s,
            sent_s=at_s + 0.0004,
            ending=Ending.REJECTED if refused else Ending.COMPLETED,
            status=503 if refused else 200,
            ttft_s=None if refused else first_s,
            e2e_s=None if refused else first_s + sum(gap * count for gap, count in gaps),
            itl_s=() if refused else gaps,
            prompt_tokens=1800,
            prompt_cached_tokens=0 if refused else 900,
            output_tokens=0 if refused else 41,
            error="no worker had room" if refused else None,
        )


async def _serve(pools: int, port: int, ahead_s: int, seed: int) -> None:
    from penstock.telemetry.page_server import PageServer
    from penstock.telemetry.web import create_app

    spec = deployment(pools)
    run = FakeRun(spec, seed=seed)
    feed = Feed(spec, costs=lambda: run.costs, started_unix_s=time.time() - ahead_s)
    play(feed, run.events(ahead_s))
    server = PageServer(create_app(feed), host="127.0.0.1", port=port)
    await server.start()
    try:
        second = ahead_s
        while True:
            await asyncio.sleep(1)
            play(feed, run.events(second + 1, from_s=second))
            second += 1
    finally:
        await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pools", type=int, default=1, choices=(1, 2))
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--ahead-s", type=int, default=840)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(_serve(given.pools, given.port, given.ahead_s, given.seed))
