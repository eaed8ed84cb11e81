"""The command line: one file per subcommand, each a thin shell over the package that does the work.

- `program`: where the process begins.
- `main`: picks the subcommand, loads only its file, turns errors into one line and an exit code.
- `tether`: ends a child process that its supervisor started, should the supervisor die.
- `signals`: Ctrl-C and SIGTERM for commands that serve.
- `output`: what goes to stdout and what to stderr. `result_table`, `compare_table`, `profile_table`: answers as tables;
  `up_screen`, `load_screen`, `progress`: what is shown meanwhile. `workload_options`: options that commands share;
  `trace_options`, `trace_synthesize`: those of `trace`, and one of its commands. `check_gpus`, `check_kv`: of a
  deployment file; `step_time_errors`: how far its step times may be off.
- `up`, `planner` (`planner_in_cluster`: with --cluster), `explain`, `schema`: the control loop's commands; `gateway`,
  `worker`: the processes that `up` starts; `load`, `trace`: workloads; `simulate`, `compare`: virtual time;
  `profile`: step times; `demo`: all of it at once.
"""
