"""A kubelet whose containers are local processes, for tests: real probes, hooks, grace periods and exit codes.

Decided here without any I/O:
- `container.py`: a container of a pod, as the command line, environment, probes and hook of a process.
- `volumes.py`: which directory a volume is, what is written in it, and mount paths in texts.
- `probe.py`: what a probe asks and when its thresholds are crossed.
- `pod_machine.py`: a pod's life as a state machine, from events to instructions.
- `pod_status.py`: its state as the API's status.
- `quantity.py`: amounts of cpu, memory and GPUs.

Done here:
- `api.py`: the API server, and a watched collection.
- `actions.py`: runs what probes and hooks ask for.
- `sources.py`: reads ConfigMaps and Secrets, writes volumes.
- `process.py`: one container's process.
- `pod_runner.py`: carries out one pod's instructions.
- `node.py`: registers a node and keeps it alive.
- `kubelet.py`: the kubelet of many nodes.

A pod's processes share one network, in which each pod has an address (`status.podIP`) without an interface of its own:
a server listens on that address, not on all, and knows it by a `fieldRef`. There are no images: `command` says what is
run, or the entry point that the configuration gives for the image's name. A volume's mount path means its directory
wherever it stands in command, arguments, environment and exec probes (`volumes.py`). A process sees no environment but
its own and PATH. What is not supported (init containers, gRPC probes, other volumes, readiness gates) is said in the
container's status, never ignored.
"""
