"""Deployment files, right and wrong in one way each: what the types and the API server must agree on."""

from typing import Any

Document = dict[str, Any]

WORKER: Document = {"name": "worker", "role": "worker"}
FRONTEND: Document = {"name": "frontend", "role": "frontend"}
PREFILL: Document = {"name": "prefill", "role": "prefill"}
DECODE: Document = {"name": "decode", "role": "decode"}
TRIGGER: Document = {"metric": "ttft_s", "threshold": 0.3}


def _spec(*components: Document, **more: Any) -> Document:
    return {"model": {"name": "m"}, "slo": {"ttftSeconds": 0.5, "itlSeconds": 0.05}, "components": components, **more}


def _scaled(**autoscaling: Any) -> Document:
    return _spec(WORKER | {"autoscaling": autoscaling})


RIGHT: dict[str, Document] = {
    "smallest": _spec(WORKER),
    "apart": _spec(FRONTEND, PREFILL, DECODE),
    "planner": _scaled(by="planner", min=0, max=4, quantile=0.9, maxStepIn=2),
    "hpa": _scaled(by="hpa", max=4, cpuPercent=70),
    "hpa with behaviour": _scaled(
        by="hpa",
        max=4,
        metrics=[{"metric": "queue_requests", "target": 4}],
        behavior={
            "scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}], "selectPolicy": "Min"}
        },
    ),
    "keda": _scaled(
        by="keda",
        min=2,
        max=4,
        triggers=[TRIGGER | {"query": "vector(1)", "metricType": "Value", "ignoreNullValues": False}],
        fallback={"failureThreshold": 3, "replicas": 2},
        idleReplicas=0,
    ),
    "keda asks the planner": _scaled(
        by="keda", min=0, max=4, planner={}, fallback={"failureThreshold": 3, "replicas": 2}
    ),
    "keda asks the planner, by rules": _scaled(by="keda", max=4, planner={"quantile": 0.9, "coolInSeconds": 5}),
    "external": _scaled(by="external"),
    "replicas within": _spec(WORKER | {"replicas": 2, "autoscaling": {"by": "planner", "max": 4}}),
    "warm nodes": _spec(
        WORKER | {"gpu": {"vmSize": "Standard_NC80adis_H100_v5"}, "pod": {"cachePath": "/mnt/weights"}},
        warmCapacity={"nodes": 2},
    ),
    "warm nodes by the planner": _spec(WORKER, warmCapacity={"nodes": "auto"}),
    "GPUs and a profile": _spec(
        WORKER
        | {
            "engine": {"type": "vllm", "profile": "shipped", "precision": "fp8", "stepTime": {"baseSeconds": 0.01}},
            "gpu": {"vmSize": "Standard_NC40ads_H100_v5", "count": 1},
        }
    ),
    "pods": _spec(
        WORKER
        | {
            "pod": {
                "image": "i:1",
                "args": ["--x"],
                "env": {"HF_HOME": "/weights"},
                "template": {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}},
            }
        }
    ),
    "routing": _spec(FRONTEND, WORKER, routing={"policy": "least-loaded", "maxHeldRequests": 0}),
}

WRONG: dict[str, Document] = {
    "no component": _spec(),
    "no model": {key: value for key, value in _spec(WORKER).items() if key != "model"},
    "a target of zero": _spec(WORKER) | {"slo": {"ttftSeconds": 0, "itlSeconds": 0.05}},
    "a target on the excluded bound": _spec(WORKER) | {"slo": {"ttftSeconds": 0.001, "itlSeconds": 0.05}},
    "a percentile past the last": _spec(WORKER) | {"slo": {"ttftSeconds": 1, "itlSeconds": 0.05, "percentile": 100}},
    "text for a number": _spec(WORKER) | {"slo": {"ttftSeconds": "soon", "itlSeconds": 0.05}},
    "a name that names no object": _spec(WORKER | {"name": "Worker_1"}),
    "no role": _spec({"name": "worker"}),
    "an unknown role": _spec(WORKER | {"role": "boss"}),
    "an unknown field": _spec(WORKER | {"replcas": 2}),
    "two of a name": _spec(WORKER, WORKER),
    "two frontends": _spec(FRONTEND, FRONTEND | {"name": "other"}, WORKER),
    "prefill alone": _spec(PREFILL),
    "decode alone": _spec(DECODE),
    "workers beside prefill and decode": _spec(WORKER, PREFILL, DECODE),
    "a frontend alone": _spec(FRONTEND),
    "an unknown owner": _scaled(by="chance", max=2),
    "no owner": _scaled(max=2),
    "no max": _scaled(by="planner"),
    "min over max": _scaled(by="planner", min=5, max=4),
    "default min over max": _scaled(by="planner", max=0),
    "max of zero": _scaled(by="planner", min=0, max=0),
    "another owner's field": _scaled(by="planner", max=4, cpuPercent=70),
    "bounds without an owner": _scaled(by="none", max=4),
    "an HPA without a metric": _scaled(by="hpa", max=4),
    "an HPA with an empty list of metrics": _scaled(by="hpa", max=4, metrics=[]),
    "KEDA without triggers": _scaled(by="keda", max=4),
    "KEDA with an empty list of triggers": _scaled(by="keda", max=4, triggers=[]),
    "a planner beside triggers": _scaled(by="keda", max=4, triggers=[TRIGGER], planner={}),
    "a cool-down beside a planner": _scaled(by="keda", max=4, planner={}, cooldownPeriodSeconds=1),
    "a planner that knows no such rule": _scaled(by="keda", max=4, planner={"min": 1}),
    "idle at min": _scaled(by="keda", min=1, max=4, triggers=[TRIGGER], idleReplicas=1),
    "an unknown signal": _scaled(by="keda", max=4, triggers=[TRIGGER | {"metric": "mood"}]),
    "replicas above max": _spec(WORKER | {"replicas": 5, "autoscaling": {"by": "planner", "max": 4}}),
    "replicas below the default min": _spec(WORKER | {"replicas": 0, "autoscaling": {"by": "planner", "max": 4}}),
    "precision without a profile": _spec(WORKER | {"engine": {"precision": "fp8"}}),
    "expert parallel without a profile": _spec(WORKER | {"engine": {"expertParallel": True}}),
    "warm nodes by whim": _spec(WORKER, warmCapacity={"nodes": "some"}),
    "a cache that is nowhere": _spec(WORKER | {"pod": {"cachePath": "weights"}}),
    "fewer than no warm nodes": _spec(WORKER, warmCapacity={"nodes": -1}),
    "an environment of odd names": _spec(WORKER | {"pod": {"env": {"1 A": "x"}}}),
    "an environment of numbers": _spec(WORKER | {"pod": {"env": {"A": 1}}}),
    "no GPUs of a VM": _spec(WORKER | {"gpu": {"vmSize": "x", "count": 0}}),
}
