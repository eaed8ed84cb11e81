"""Which GPUs, how cut, in which mode and how many hold the targets for a workload at the least cost.

- `question`: what is asked; `demand`: what the workload asks of engines.
- `option`: one way to serve it, what it is estimated to take and what simulation found.
- `options`: all ways there are, by GPU and cut; `estimate`: what each takes, by formula and rehearsal, or why it can't.
- `search`: the fewest replicas that hold the targets, by simulation.
- `answer`: prune, rank, simulate the best and say which; `reasons`: why, in a sentence.
- `deployment_file`: what was chosen, as a deployment.
- `document`: the answer as JSON; `page`: as a page with charts, whose parts lie in `page/`.
"""
