"""What is to exist in a cluster, as a pure function of the spec and the cluster's settings.

deployment.py   what an InferenceDeployment owns: pools, rights of its gateways, warm capacity
pool.py         what a ComponentPool owns: Deployment, Service, disruption budget, monitor, autoscaler
warm.py         placeholders that keep nodes, and what keeps images and weights on them
pods.py         the pod template: container, GPUs, probes, an end that loses nothing
engines.py      command lines of the engines
autoscaler.py   HPA or ScaledObject
merge.py        a user's part of an object over ours
"""
