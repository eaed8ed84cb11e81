"""A deployment over a workload in virtual time: the live control loop, over a virtual cluster.

- `run`: one run, from the first arrival to the result. `clock`: an event loop whose time jumps. `recorded_run`: one
  that leaves its files. `run_watch`, `watched_jobs`: how far a run is, or many on all cores.
- The hot loop: `serving` (router and engines), `virtual_worker` (one engine), `flight` (one request), `dispatch` (its
  way between workers), `losses` (when one of them is lost).
- What is counted of it: `records`, `gateway_counters`, `worker_counters`, `gap_counts`.
- The world: `cluster` (joins it all, and is what the loop observes and acts on), `component_pool`, `seen`, `calendar`.
- Its pods and nodes, pure: `pods`, `nodes`; carried out: `replicas`, `machines`; drawn: `delays`, `failures`.
- Its metrics: `metric_path` (who is scraped when), `prometheus` (what queries make of that).
- Its file: `parse_world`, `world_spec`, `metrics_spec`, `price_spec`.
- `seeds`: several runs, and the band in which their figures lie.
- `compare`: several runs, and what would have been enough (`yardsticks`): what each window needs (`needs`, over
  `stretches` of the workload), what a start costs (`start_costs`), the best simple policy (`hindsight`).
- `jobs`: a run in another process. `workload_source`: a trace that any process can open.
"""
