"""Step-time profiles against measurements: read them, replay each as it was measured, compare, fit.

- `points`: what was measured, under which load; `replica`: on what; and what cannot be replayed, and why.
- `csv_rows`, `silicon`, `sweeps`, `request_runs`, `published`, `read`: the files that measurements come in.
- `harness`: facts of how they were measured that no file states.
- `features`, `closed_loop`, `fixed_batch`, `open_loop`, `replay`: each point played through the engine core.
- `compare`: predicted against measured, by campaign.
- `priors`, `least_squares`, `shared_fit`, `corrections`, `fit`: from measurements to a profile, over the arrays of
  `point_table`. These need scipy; nothing else does.
"""
