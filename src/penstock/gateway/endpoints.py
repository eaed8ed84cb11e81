"""Who serves, from a cluster's EndpointSlices and ComponentPools. Pure: objects in, worker records out.

A slice tells addresses and whether they take traffic; the pool of its component tells what they are. An endpoint that
terminates is not listed, however ready it is: that is how a drain begins. A pod can stand in two slices for a moment;
it is listed if one of them says that it is ready.

Where none of a component's pods is ready, all that do not terminate are listed: after an API server was away,
Kubernetes takes all nodes for lost, and their pods for not ready, until they report. Their records say that, so a
gateway sends them requests only once they completed a token anew (`proven`): one that is really down gets none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role, WorkerRecord

COMPONENT_LABEL = "penstock.dev/component"
HTTP, KV_EVENTS, KV_REPLAY = "http", "kv-events", "kv-replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One pod as a slice has it."""

    pod: str
    address: str
    ready: bool
    terminating: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One EndpointSlice: endpoints of one component, and its ports by name."""

    component: str
    endpoints: tuple[Endpoint, ...]
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """What the pods of a component are. `engine`: None where its speed is not known."""

    name: str
    role: Role
    engine: EngineSpec | None


def records_of(slices: Iterable[Slice], components: Mapping[str, Component]) -> tuple[WorkerRecord, ...]:
    """All workers that take traffic, by name. A component that is not known yet, or is a frontend, has none."""
    found: dict[str, WorkerRecord] = {}
    unready: dict[str, WorkerRecord] = {}
    leaving: set[str] = set()
    for piece in slices:
        component = components.get(piece.component)
        if component is None or component.role is Role.FRONTEND or HTTP not in piece.ports:
            continue
        for endpoint in piece.endpoints:
            if endpoint.terminating:
                leaving.add(endpoint.pod)
            else:
                listed = found if endpoint.ready else unready
                listed[endpoint.pod] = _record(endpoint, piece.ports, component)
    served = {record.component for pod, record in found.items() if pod not in leaving}
    found |= {pod: record for pod, record in unready.items() if record.component not in served}
    return tuple(found[pod] for pod in sorted(found) if pod not in leaving)


def _record(endpoint: Endpoint, ports: Mapping[str, int], component: Component) -> WorkerRecord:
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address

    def at(port: str) -> str | None:
        return f"tcp://{host}:{ports[port]}" if port in ports else None

    return WorkerRecord(
        id=endpoint.pod,
        url=f"http://{host}:{ports[HTTP]}",
        component=component.name,
        role=component.role,
        kv_events=at(KV_EVENTS),
        kv_replay=at(KV_REPLAY),
        engine=component.engine,
        ready=endpoint.ready,
    )
