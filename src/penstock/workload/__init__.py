"""Workloads: who asks for what, when. One type inside (`Arrival`), several file formats outside.

- `arrival`: one request of a workload. `window`: a stretch of it, faster or slower. `same_blocks`: holds its prefix
  blocks to one size. `span`: how long a trace is.
- `detect`: opens a trace by its content; `trace_lines` feeds the readers `azure`, `mooncake`, `penstock_jsonl`, which
  also write. `json_line`: what the last two share. `prefix_chain`: ids that name a block with all before it.
  `bad_rows`: what is wrong with a row, and those that are passed over.
- `data/`: the excerpt of a production trace that ships, with its credit.
- `workload_spec`, `workload_file`: a made workload as a file. `compose` plays its tree of parts; `synthesize` draws a
  part's requests: `rate` over time, `pace` of instants, `lengths`.
- `stats`, `stats_table`, `stats_page`: what a workload looks like.
- `prompts`: text of exact length for an arrival, equal where prefixes are shared.

Everything streams: memory does not grow with the length of a trace.
"""
