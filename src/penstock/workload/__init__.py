"""Workloads: who asks for what, when. One type inside (`Arrival`), several file formats outside.

- `arrival`: one request of a workload. `window`: a stretch of it, faster or slower. `span`: how long a trace is.
- `detect`: opens a trace by its content; `trace_lines` feeds the readers `azure`, `mooncake`, `penstock_jsonl`, which
  also write.
- `data/`: the excerpt of a production trace that ships, with its credit.
- `pace`, `lengths`, `synthesize`: made workloads. `stats`, `stats_page`: what a workload looks like.
- `prompts`: text of exact length for an arrival, equal where prefixes are shared.

Everything streams: memory does not grow with the length of a trace.
"""
