"""Seeded scenarios over all that an HPA in Penstock can be told, and most of what can happen to it."""

import math
from collections.abc import Iterator
from random import Random

from hpa_scenario import HpaScenario, Replay, SyncSeen
from hpa_world import PodWorld

from penstock.autoscale.hpa import tolerance_of
from penstock.autoscale.hpa_metrics import quantity_milli
from penstock.autoscale.hpa_pods import CpuSample, Phase, Pod
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.scaling_spec import (
    Behavior,
    HpaScaling,
    MetricTarget,
    ScalingPolicyRule,
    ScalingRules,
)

NAN_MILLI = -(2**63)  # what KEDA makes of NaN
TARGETS = (10.0, 200.0, 0.3, 0.07, 1 / 3, 2.5, 1000.5, 0.001, 0.0015, 1e-4, 4.0, 1e-10, 0.0010000000001)
SIGNALS = (Signal.TTFT, Signal.ITL, Signal.QUEUE, Signal.IN_FLIGHT, Signal.KV_USAGE, Signal.DEMAND)


def scenarios(seed: int, count: int) -> Iterator[HpaScenario]:
    """Every eighth is what Penstock's own policy sees of a pool; the others have pods in every state."""
    for number in range(count):
        rng = Random(f"{seed} {number}")
        yield _scenario(rng, pooled=number % 8 == 7)


def _scenario(rng: Random, *, pooled: bool) -> HpaScenario:
    scaling = _scaling(rng)
    replicas = rng.choice([scaling.min, scaling.max, rng.randint(scaling.min, scaling.max), scaling.max + 3, 0, 1])
    of_objects = frozenset() if pooled else frozenset(signal for signal in SIGNALS if rng.random() < 0.2)
    world = PodWorld(rng, calm=pooled or rng.random() < 0.25)
    load = _load(rng, scaling)
    scenario = HpaScenario(scaling=scaling, replicas=replicas, syncs=(), of_objects=of_objects)
    replay = Replay(scenario)
    world.follow(replicas, 0.0, 0.0)
    world.age(0.0)
    outages = _Outages(rng)
    edits = rng.choice([0.0, 0.0, 0.02, 0.05])  # of the spec
    meddling = rng.choice([0.0, 0.0, 0.0, 0.03])  # with the scale
    syncs = []
    length = rng.choice([20, 40, 60, 80, 100, 120, 160, 200])
    lag = rng.choice([0, 0, 0, 3])  # syncs that the pods are behind the scale
    scales = [replay.replicas] * (lag + 1)
    current, since_s = scaling, 0.0
    for number in range(length):
        now_s = scenario.now_s(number)
        edited = _edited(rng, current) if rng.random() < edits else None
        current = edited or current
        meddled = _meddled(rng, current) if rng.random() < meddling else None
        replicas = replay.replicas if meddled is None else meddled
        scales = [*scales[1:], replay.replicas]
        world.follow(scales[0], since_s, now_s)
        wanted = next(load)
        values = {
            signal: milli
            for signal, milli in _values(rng, current, wanted, replicas, world.status_replicas, of_objects).items()
            if not outages.lost(signal)
        }
        even = rng.random() < 0.15
        share = rng.choice(_edges(current)) if even else wanted / max(1, replicas)
        busy = share * (current.cpu_percent or 100) / 100
        if pooled:
            seen = _pooled(rng, world, values, busy, replicas, now_s)
        else:
            status = world.status_replicas if rng.random() > 0.05 else rng.choice([replicas, 0, 1])
            seen = SyncSeen(status_replicas=status, pods=world.pods(now_s, busy, even=even), values=values)
        syncs.append(
            SyncSeen(
                status_replicas=seen.status_replicas,
                pods=seen.pods,
                values=seen.values,
                pool=seen.pool,
                scaling=edited,
                replicas=meddled,
            )
        )
        replay.sync(syncs[-1], now_s)
        since_s = now_s
    return HpaScenario(scaling=scaling, replicas=scenario.replicas, syncs=tuple(syncs), of_objects=of_objects)


def _scaling(rng: Random) -> HpaScaling:
    lowest = rng.choice([0, 1, 1, 1, 2, 3])
    metrics = tuple(
        MetricTarget(metric=rng.choice(SIGNALS), target=rng.choice(TARGETS), type=rng.choice(["Value", "AverageValue"]))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))
    )
    with_cpu = rng.random() < (0.15 if lowest == 0 else 0.65)  # a CPU target never leaves zero
    cpu = rng.choice([30, 50, 70, 80, 100, 120, 150, 200, 333]) if with_cpu else None
    rps = rng.choice(TARGETS) if rng.random() < 0.25 or (cpu is None and not metrics) else None
    return HpaScaling(
        by="hpa",
        min=lowest,
        max=max(1, lowest) + rng.choice([0, 1, 3, 7, 12, 40]),
        cpu_percent=cpu,
        requests_per_second=rps,
        metrics=metrics,
        behavior=_behavior(rng),
        sync_period_s=rng.choice([15, 15, 15, 15, 10, 30, 5, 7.5, 1, 60, 2.35]),
        tolerance=rng.choice([0.1, 0.1, 0.1, 0.1, 0.0, 0.05, 0.2, 0.33]),
    )


def _behavior(rng: Random) -> Behavior | None:
    if rng.random() < 0.3:
        return None
    if rng.random() < 0.4:  # nothing between what the metrics ask for and the scale
        rule = ScalingPolicyRule(type="Percent", value=900, period_s=1)
        return Behavior(
            scale_up=ScalingRules(policies=(rule,), tolerance=rng.choice([None, 0.0])),
            scale_down=ScalingRules(stabilization_window_s=0, tolerance=rng.choice([None, 0.0])),
        )
    if rng.random() < 0.2:  # each direction counts the other's events, which outlive their own periods
        short, long = (_slow(rng, period_s) for period_s in (15, 900))
        return Behavior(scale_up=short, scale_down=long) if rng.random() < 0.7 else Behavior(scale_up=long)
    return Behavior(scale_up=_rules(rng), scale_down=_rules(rng))


def _slow(rng: Random, period_s: int) -> ScalingRules:
    rule = ScalingPolicyRule(type="Pods", value=rng.randint(1, 4), period_s=period_s * rng.choice([1, 2]))
    return ScalingRules(stabilization_window_s=0, policies=(rule,))


def _rules(rng: Random) -> ScalingRules | None:
    if rng.random() < 0.2:
        return None
    periods_s = rng.choice([(1, 5, 15), (15, 16, 30, 45, 60), (15, 60, 90, 120, 300), (15, 600, 1800)])
    policies = tuple(
        ScalingPolicyRule(
            type=rng.choice(["Pods", "Percent"]),
            value=rng.choice([1, 1, 2, 3, 4, 5, 10, 10, 15, 20, 33, 50, 100, 150, 900]),
            period_s=rng.choice(periods_s),
        )
        for _ in range(rng.choice([0, 1, 1, 2, 3]))
    )
    return ScalingRules(
        stabilization_window_s=rng.choice([None, 0, 0, 10, 15, 30, 31, 45, 60, 120, 300, 600, 3600]),
        select_policy=rng.choice(["Max", "Max", "Max", "Min", "Min", "Disabled"]),
        policies=policies or None,
        tolerance=rng.choice([None, None, None, 0.0, 0.1, 0.3, 0.7, 1.0, rng.randrange(100) / 100]),
    )


def _edited(rng: Random, scaling: HpaScaling) -> HpaScaling:
    """The spec with new bounds, seldom with another behaviour or target. The controller's own flags stay."""
    lowest = rng.choice([0, 1, 1, 2, 4])
    changes: dict[str, object] = {"min": lowest, "max": max(1, lowest) + rng.choice([0, 1, 2, 5, 20])}
    if rng.random() < 0.5:
        changes["behavior"] = _behavior(rng)
    if rng.random() < 0.2:
        changes["cpu_percent"] = rng.choice([40, 60, 90])
    return scaling.model_copy(update=changes)


def _meddled(rng: Random, scaling: HpaScaling) -> int:
    return rng.choice([0, 1, scaling.min, scaling.max, scaling.max + 2, max(0, scaling.min - 1), rng.randint(0, 12)])


def _load(rng: Random, scaling: HpaScaling) -> Iterator[float]:
    """Demand in replicas' worth: steps, ramps, waves, spikes and noise, one regime after another."""
    level = float(rng.randint(1, max(2, scaling.max)))
    while True:
        regime = rng.choice(["flat", "flat", "ramp", "wave", "spike", "idle", "idle", "noise"])
        goal, length = rng.uniform(0, 1.3) * max(2, min(scaling.max, 16)), rng.randint(3, 50)
        start = level
        for step in range(length):
            match regime:
                case "ramp":
                    level = start + (goal - start) * step / length
                case "wave":
                    level = goal * (1 + 0.5 * math.sin(step / 3))
                case "spike":
                    level = goal * (3 if step in (2, 3) else 0.5)
                case "idle":
                    level = 0.0
                case "noise":
                    level = goal * rng.uniform(0.3, 1.7)
                case _:
                    level = goal
            yield level


def _values(
    rng: Random,
    scaling: HpaScaling,
    wanted: float,
    replicas: int,
    status_replicas: int,
    of_objects: frozenset[Signal],
) -> dict[Signal, int]:
    """Each signal near what the load makes of it; often at the very edge of the tolerance; seldom garbage."""
    targets = {m.metric: (quantity_milli(m.target), m.type) for m in scaling.metrics}
    if scaling.requests_per_second is not None:
        targets.setdefault(Signal.DEMAND, (quantity_milli(scaling.requests_per_second), "AverageValue"))
    values = {}
    for signal, (target, kind) in targets.items():
        whole = target * (status_replicas if kind == "AverageValue" else 1)
        dice = rng.random()
        if dice < 0.15:
            values[signal] = max(0, round(whole * rng.choice(_edges(scaling))) + rng.choice([-1, 0, 0, 1]))
        elif dice < 0.16 and signal not in of_objects:  # the controller guards only external values against overflow
            values[signal] = rng.choice([NAN_MILLI, -1, 2**62, 2**40])
        else:
            ratio = wanted if kind == "AverageValue" else wanted / max(1, replicas)
            values[signal] = int(target * ratio * rng.choice([1, 1, 0.97, 1.05, 1.3]))
    return values


def _edges(scaling: HpaScaling) -> tuple[float, ...]:
    """Ratios of value to target at which the tolerance begins and ends."""
    tolerance = tolerance_of(scaling.tolerance, scaling.behavior)
    return (1 - tolerance.down, 1.0, 1 + tolerance.up)


class _Outages:
    """Which metrics cannot be read: each for some syncs at a time, seldom all."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.chance = rng.choice([0.0, 0.0, 0.02, 0.1])
        self.left: dict[Signal, int] = {}

    def lost(self, signal: Signal) -> bool:
        if self.rng.random() < self.chance / 10:
            self.left = dict.fromkeys(SIGNALS, self.rng.choice([2, 25]))
        if self.rng.random() < self.chance:
            self.left[signal] = self.rng.choice([1, 2, 5, 30])
        self.left[signal] = self.left.get(signal, 0) - 1
        return self.left[signal] >= 0


def _pooled(
    rng: Random,
    world: PodWorld,
    values: dict[Signal, int],
    busy: float,
    replicas: int,
    now_s: float,
) -> SyncSeen:
    """What a pool looks like to Penstock, and the pods and values that a cluster would have for the same."""
    draining = sum(1 for life in world.lives if life.terminating_s <= now_s)
    alive = len(world.lives) - draining
    starting = min(alive, rng.choice([0, 0, 0, 1, 2, alive]))
    signals = {}
    for signal, milli in values.items():
        age_s = rng.choice([0.0, 1.0, 30.0, 299.0, 300.0, 300.5, 900.0]) if rng.random() < 0.2 else 1.0
        # Half a thousandth more: what an adapter cuts off.
        signals[signal] = Sample(value=max(milli, -1) / 1000 + 0.0005, age_s=age_s)
    cpu = None
    if rng.random() > 0.03:
        cpu = signals[Signal.CPU] = Sample(value=busy, age_s=rng.choice([1.0, 15.0, 301.0]))
    pool = PoolSeen(
        component="decode",
        desired=replicas,
        starting=starting,
        ready=alive - starting,
        draining=draining,
        signals=signals,
    )
    sample = None
    if cpu is not None and cpu.age_s <= 300:
        sample = CpuSample(milli=math.floor(cpu.value * 1000), at_s=now_s - cpu.age_s)
    long_ago_s = -10_000.0
    pods = [Pod(name=f"r{n}", ready_since_s=long_ago_s, started_at_s=long_ago_s, cpu=sample) for n in range(pool.ready)]
    pods += [Pod(name=f"s{n}", phase=Phase.PENDING, ready=None, started_at_s=None) for n in range(starting)]
    pods += [Pod(name=f"d{n}", terminating=True) for n in range(draining)]
    return SyncSeen(
        status_replicas=alive,
        pods=tuple(pods),
        values={
            signal: math.trunc(sample.value * 1000)
            for signal, sample in signals.items()
            if signal is not Signal.CPU and sample.age_s <= 300
        },
        pool=pool,
    )
