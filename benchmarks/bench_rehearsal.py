"""How long the planner thinks: one rehearsal of a new mix (target: under 300 ms), and a decision on a known one.

.venv/bin/python benchmarks/bench_rehearsal.py
"""

import time

from penstock.autoscale.arrivals import Mix
from penstock.autoscale.capacity import capacity
from penstock.autoscale.planner import PlannerPolicy, PlannerState
from penstock.autoscale.policies import policy_for
from penstock.messages.observation import PoolSeen, Sample, Signal
from penstock.messages.spec import DeploymentBody

MIXES = {
    "chat 1000 / 200": Mix(isl=1000, isl_p95=2500, osl=200, osl_p95=500),
    "case study 3000 / 250": Mix(isl=3000, isl_p95=6000, osl=250, osl_p95=500),
    "code 2000 / 30": Mix(isl=2000, isl_p95=6000, osl=30, osl_p95=80),
    "agent 8000 / 300, half cached": Mix(isl=8000, isl_p95=20_000, osl=300, osl_p95=700, hit_ratio=0.5),
    "writing 200 / 1000": Mix(isl=200, isl_p95=500, osl=1000, osl_p95=2500),
}
DECISIONS = 2000


def policy(role: str) -> PlannerPolicy:
    """The planner of a pool with default engine, SLO TTFT 0.5 s and ITL 50 ms at p95."""
    partner = {"prefill": "decode", "decode": "prefill"}.get(role)
    components = [{"name": role, "role": role, "autoscaling": {"by": "planner", "max": 64}}]
    if partner:
        components.append({"name": partner, "role": partner})
    slo = {"ttft_s": 0.5, "itl_s": 0.05}
    spec = DeploymentBody.model_validate({"model": {"name": "m"}, "slo": slo, "components": components})
    chosen = policy_for(spec, spec.components[0])
    assert isinstance(chosen, PlannerPolicy)
    return chosen


def decide(planner: PlannerPolicy) -> float:
    """CPU seconds of a decision on a known mix, with ten minutes of history and a cold start of three."""
    values = {Signal.DEMAND: 50.0, Signal.ISL: 1000.0, Signal.ISL_P95: 2500.0, Signal.OSL: 200.0, Signal.OSL_P95: 500.0}
    values |= {Signal.QUEUE: 1.0, Signal.TTFT: 0.2, Signal.ITL: 0.02, Signal.KV_USAGE: 0.3, Signal.LEAD_TIME: 180.0}
    state: PlannerState = planner.initial_state()
    began = 0.0
    for i in range(DECISIONS + 200):
        if i == 200:
            began = time.process_time()
        signals = {s: Sample(value=v + (i % 17 if s is Signal.DEMAND else 0)) for s, v in values.items()}
        seen = PoolSeen(component="w", desired=2, starting=0, ready=2, draining=0, signals=signals)
        _, state = planner.decide(state, seen, now_s=5.0 * i)
    return (time.process_time() - began) / DECISIONS


def main() -> None:
    print(f"{'mix':32} {'role':8} {'requests/s':>11} {'new mix':>9} {'cached':>9}")
    slowest_s = 0.0
    for role in ("worker", "prefill", "decode"):
        planner = policy(role)
        for name, mix in MIXES.items():
            capacity.cache_clear()
            began = time.process_time()
            held = planner.capacity(mix)
            new_s = time.process_time() - began
            began = time.process_time()
            planner.capacity(mix)
            cached_s = time.process_time() - began
            slowest_s = max(slowest_s, new_s)
            relaxed = f"  (targets x {held.relaxed:g})" if held.relaxed > 1 else ""
            print(f"{name:32} {role:8} {held.rate:11.2f} {new_s * 1e3:6.0f} ms {cached_s * 1e6:6.0f} us{relaxed}")
    print(f"slowest new mix: {slowest_s * 1e3:.0f} ms of CPU (target 300)")
    print(f"a decision on a known mix: {decide(policy('worker')) * 1e6:.0f} us of CPU")


if __name__ == "__main__":
    main()
