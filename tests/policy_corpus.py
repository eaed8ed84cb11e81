"""Specs of ScalingPolicies, right and wrong in one way each: what the types and the API server must agree on."""

from typing import Any

Document = dict[str, Any]

VLLM: Document = {"source": "vllm"}
FRONTEND: Document = {"selector": {"app": "frontend"}}


def _spec(**more: Any) -> Document:
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
        "metrics": VLLM,
        "slo": {"ttftSeconds": 0.5, "itlSeconds": 0.05},
        "autoscaling": {"by": "planner", "max": 4},
        **more,
    }


PROFILE: Document = {
    "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
    "engine": {"type": "vllm", "profile": "shipped"},
    "gpu": {"vmSize": "Standard_NC40ads_H100_v5"},
}

RIGHT: dict[str, Document] = {
    "smallest": _spec(),
    "owner": _spec(mode="owner", role="decode"),
    "where metrics are": _spec(metrics={"source": "sglang", "selector": {"app": "llama"}, "port": 30000}),
    "dynamo": _spec(metrics={"source": "dynamo", "port": 9090, "frontend": FRONTEND}),
    "to zero by dynamo's frontends": _spec(
        metrics={"source": "dynamo", "frontend": FRONTEND}, autoscaling={"by": "planner", "min": 0, "max": 4}
    ),
    "the planner's fields": _spec(
        autoscaling={"by": "planner", "min": 2, "max": 4, "quantile": 0.9, "coolInSeconds": 5, "maxStepIn": 1}
    ),
    "a profile": _spec(**PROFILE),
}

WRONG: dict[str, Document] = {
    "no target": {key: value for key, value in _spec().items() if key != "scaleTargetRef"},
    "no name": _spec(scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment"}),
    "an unknown mode": _spec(mode="maybe"),
    "a frontend": _spec(role="frontend"),
    "an unknown source": _spec(metrics={"source": "tgi"}),
    "dynamo without frontends": _spec(metrics={"source": "dynamo"}),
    "dynamo with any frontend": _spec(metrics={"source": "dynamo", "frontend": {"port": 8000}}),
    "a frontend for nothing": _spec(metrics={"source": "vllm", "frontend": FRONTEND}),
    "another owner": _spec(autoscaling={"by": "hpa", "max": 4}),
    "no maximum": _spec(autoscaling={"by": "planner"}),
    "min above max": _spec(autoscaling={"by": "planner", "min": 5, "max": 4}),
    "to zero where nobody counts": _spec(autoscaling={"by": "planner", "min": 0, "max": 4}),
    "a profile of no model": _spec(**{key: value for key, value in PROFILE.items() if key != "model"}),
    "a profile of no GPU": _spec(**{key: value for key, value in PROFILE.items() if key != "gpu"}),
    "a port of none": _spec(metrics={"source": "vllm", "port": 0}),
    "an unknown field": _spec(modus="owner"),
}
