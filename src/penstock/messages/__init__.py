"""Frozen types that cross a boundary, and the deployment spec. Parsed once at the edge; inside, only these.

- `spec`, `scaling_spec`, `engine_spec`: what the user writes; `parse_spec`: YAML in, spec or a one-line error out.
- `observation`: what a world saw; `decision`: what was decided and why; `worker`: who serves where.
- `outcome`: what became of one request; `result`: what became of a run.
"""
