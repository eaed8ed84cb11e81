"""Who wrote what, from the API server's own audit log; writes that changed nothing are in it too."""

import json
from dataclasses import dataclass
from pathlib import Path

POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, verbs: [get, list, watch]}
  - {level: Metadata}
"""
OF_PENSTOCK = "python-httpx"  # operator, planner and gateways; tests and kubectl have other agents


@dataclass(frozen=True, slots=True)
class Write:
    """One request that writes, after it was answered."""

    verb: str
    resource: str  # with its subresource: `componentpools/status`
    namespace: str
    name: str
    code: int


def writes(log: Path, namespace: str, agent: str = OF_PENSTOCK) -> list[Write]:
    """All of a namespace so far by those whose agent's name contains a word, in order."""
    found = []
    for line in log.read_text().splitlines():
        said = json.loads(line)
        at = said.get("objectRef", {})
        if at.get("namespace") == namespace and agent in said.get("userAgent", ""):
            resource = "/".join(filter(None, (at["resource"], at.get("subresource"))))
            found.append(Write(said["verb"], resource, namespace, at.get("name", ""), said["responseStatus"]["code"]))
    return found
