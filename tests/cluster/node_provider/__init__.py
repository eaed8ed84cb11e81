"""A cloud with a cluster autoscaler, for tests: nodes come for pods that find no room, and go when nobody needs them.

- `fitting.py`: whether a pod finds room on a node. Pure.
- `scan.py`: one look of the autoscaler, with its real rules. Pure.
- `provider.py`: carries it out: machines boot (cold or warm), are drained and go.
"""
