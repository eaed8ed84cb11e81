"""Kubernetes: the custom resources, and what is to exist for them.

crds.py         the custom resource definitions, from the spec's own types
structural.py   a pydantic model as a structural schema
rules.py        CEL rules: what the types refuse, the API server refuses too
status.py       what is said of an object: its status
objects.py      names and labels
settings.py     what is told once for a cluster
desired/        what is to exist, a pure function of the spec
owners.py       whether a count has a second owner, pure
webhook/        the API server asks before it lets one in
plan.py         what of that is to be written, pure
conditions.py   what is said of it, pure
queue.py        which objects are looked at, and when again
deletion_cost.py  which pods go when a pool shrinks, pure
scale_down.py   asks them, and marks those
contention.py   when what somebody changes each time is written again, pure
writer.py       writes what is due
second_owners.py  says of those that the webhook did not see
operator.py     watches, and says what became of it
reachable.py    whether the planner answers where KEDA is to ask it
process.py      client, election, signals
install.py      what installs it: rights and Deployment
render.py       all of it without a cluster
"""
