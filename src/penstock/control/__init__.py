"""Observe, decide, act: the shell around the pure decisions, and the supervisor of one machine's processes.

- `loop`: the control loop over a `World`, with `turns` (when each pool is due), `clocks` and `faults`.
- Seeing, pure: `exposition` (Prometheus text), `windows` (counters), `gateway_view`, `worker_view`, `pool_signals`.
- A pool's life, pure: `life_events` (what happens, what to do), `lifecycle` (the state machine), `slots` (cold, warm).
- Processes, thin: `child` (one process), `pool_shell` (a pool of them), `launch` (command lines), `health` (asks them),
  `cpu`, `run_directory` (what they share).
- Worlds: `machine` (processes that we run), `watched` (processes of others), `cluster_world` (pods; `cluster_pods`,
  `pool_pods`, `summed_scrapes` and `lead_times` are its pure parts), `policy_world` (pods of what others made;
  `scale_target`, `policy_planner`, and pure: `policy_status`), with `cluster_planner` (a loop for each deployment and
  policy).
- A cluster's figures: `pod_metrics` (asks the pods), `stack_metrics` (those of others, by `stacks`),
  `prometheus_metrics` (asks a `prometheus`, with `prometheus_tokens`).
- The planner under KEDA: `keda_counts` (what it wants), `keda_scaler` (tells it, over gRPC), `keda_messages`.
- `deployment`: all of it, up and down in order. `tally` and `latest`: what is known of a run while it goes on.
"""
