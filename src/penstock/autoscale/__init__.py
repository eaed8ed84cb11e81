"""How many replicas each pool should have, and why. Pure: signals in, one `Decision` out; nothing here reads a clock.

- `base`: what a policy is. `policies`: which policy a component's spec asks for. `none`: somebody else's pool.
- `hpa`: Kubernetes' HorizontalPodAutoscaler to the letter, over `hpa_pods` (which pods count), `hpa_metrics` (what a
  metric asks for) and `hpa_behavior` (windows and rate limits).
- `keda`: a KEDA ScaledObject, over `keda_triggers` (nulls, activation, fallback) and the HPA that it makes.
  `keda_value`: what to tell KEDA so that its HPA sets a count.
- `planner`: Penstock's own. `demand` reads the signals. `outlook` looks one lead time ahead: `demand_history`
  remembers the last hours and `long_history` weeks, `trend` says whether demand climbs, `rises` how far it may rise,
  `season` when, `margins` what that is worth; `forecast` sums up, and `coverage` says how much of that was needed so
  far. `rehearsal` runs the engine core in virtual time to know what one replica of a `pool_size` holds of what its
  role `answers_for` (`arrivals` makes the requests, `mixture` says which, `capacity` asks and remembers; `estimate` is
  a formula for the same, by which `nearby` bends a known answer), `correction` mends that figure by what was measured,
  `guardrails` limit the result.
- Yardsticks: `clairvoyant` (the least that a pool could have cost), `reactive` (the simplest policy that works).
- `sentences`: numbers and limits in plain English, and the text of `penstock explain`; `hpa_reason` and
  `planner_reason` write the reasons.
"""
