"""A deployment over a workload in virtual time: the live control loop, over a virtual cluster.

- `run`: one run, from the first arrival to the result. `clock`: an event loop whose time jumps. `recorded_run`: one
  that leaves its files. `run_watch`, `watched_jobs`: how far a run is, or many on all cores.
- The hot loop: `serving` (router and engines), `virtual_worker` (one engine), `flight` (one request).
- What is counted of it: `records`, `gateway_counters`, `worker_counters`, `gap_counts`; `prometheus`: what queries
  make of that.
- The world: `cluster` (joins it all, and is what the loop observes and acts on), `pods`, `nodes`, `delays`,
  `lead_times`; `world_spec` and `parse_world`: its file.
- `seeds`: several runs, and the band in which their figures lie.
- Yardsticks: `compare` (several runs and two bounds), `hindsight`; `workload_source`: a trace that any process can
  open.
"""
