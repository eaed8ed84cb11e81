"""What is measured, kept and shown. It decides nothing.

- Metrics: `gateway_metrics`, `vllm_metrics` (the simulated worker's), `control_metrics`, `planner_metrics` (a
  cluster's), over `histogram` and `edge_counts`; `quantile` and `promql`: what Prometheus makes of them.
- While a run goes on, listeners of the control loop: `feed` (what the page shows), `ledger` (hours and dollars),
  `journal` (the record on disk); `attainment`: how well the last hour kept its targets.
- The web port: `web` (the app), `event_stream`, `page_server`, `page_assets`; `page/` is what the browser gets.
- The report: `report` (a run's directory in, one file out), `verdict` (its sentence), `run_info` (how it was made),
  `run_folder` (cleared for a run); `comparison_report`: several runs in one, by `overlay` (what is drawn of each) and
  `ranking` (who did best); `page_document`: how such a file is put together.
- What became of a run: `summary` (outcomes in, `Result` out), `log_histogram`, `requests_file`.
"""
