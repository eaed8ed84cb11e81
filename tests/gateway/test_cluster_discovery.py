"""Who serves in a cluster: EndpointSlices and ComponentPools, and what API servers do to those who watch them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_api_server import FakeApiServer
from gateway_fakes import FakeWorker, run, whole
from lightkube import AsyncClient
from lightkube.config.kubeconfig import KubeConfig

from penstock.gateway.cluster_discovery import ClusterDiscovery, parse_component, parse_slice
from penstock.gateway.endpoints import Component, records_of
from penstock.gateway.proven import Proven
from penstock.gateway.settings import UpstreamLimits
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.kubernetes import mirror
from penstock.messages.worker import Role, WorkerRecord

LABELS = {"penstock.dev/deployment": "d", "penstock.dev/component": "decode"}


def endpoint(pod: str, address: str = "10.77.0.1", **conditions: bool) -> dict[str, Any]:
    return {
        "addresses": [address],
        "conditions": {"ready": True} | conditions,
        "targetRef": {"kind": "Pod", "name": pod},
    }


def piece(name: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": dict(LABELS)},
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": 8000}, {"name": "kv-events", "port": 5557}],
    }


def pool(role: str = "worker", **engine: Any) -> dict[str, Any]:
    spec = {"component": {"name": "decode", "role": role, "engine": engine}}
    return {"metadata": {"name": f"d-{role}", "labels": dict(LABELS)}, "spec": spec}


def records(*pieces: dict[str, Any], of: dict[str, Any] | None = None) -> Sequence[WorkerRecord]:
    component = parse_component(of or pool())
    assert component is not None
    return records_of([found for item in pieces if (found := parse_slice(item))], {component.name: component})


def test_an_endpoint_becomes_a_worker_of_its_component() -> None:
    (found,) = records(piece("s", endpoint("a")), of=pool(kvBlocks=99))
    assert found.url == "http://10.77.0.1:8000"
    assert (found.id, found.component, found.role) == ("a", "decode", Role.WORKER)
    assert (found.kv_events, found.kv_replay) == ("tcp://10.77.0.1:5557", None)
    assert found.engine is not None
    assert found.engine.kv_blocks == 99


def test_ipv6_addresses_get_their_brackets() -> None:
    (found,) = records(piece("s", endpoint("a", "fd00::1")))
    assert found.url == "http://[fd00::1]:8000"


def test_a_terminating_pod_is_not_listed_whatever_another_slice_says() -> None:
    """Ready or not: that it terminates is how a drain begins."""
    assert records(piece("s", endpoint("a", terminating=True)), piece("t", endpoint("a"))) == ()


def test_a_pod_that_is_not_ready_is_not_listed() -> None:
    assert [found.id for found in records(piece("s", endpoint("a", ready=False), endpoint("b")))] == ["b"]


def test_where_no_pod_is_ready_all_are_listed_but_those_that_go() -> None:
    """Kubernetes lost sight of the nodes; whether pods serve is for a token to prove."""
    pods = endpoint("a", ready=False), endpoint("b", ready=False), endpoint("c", ready=False, terminating=True)
    assert [(found.id, found.ready) for found in records(piece("s", *pods))] == [("a", False), ("b", False)]
    assert [found.id for found in records(piece("s", *pods, endpoint("d", terminating=True)))] == ["a", "b"]


def test_a_pod_ready_in_one_of_two_slices_is_listed() -> None:
    assert len(records(piece("s", endpoint("a", ready=False)), piece("t", endpoint("a")))) == 1


def test_a_frontend_and_an_unknown_component_have_no_workers() -> None:
    assert records(piece("s", endpoint("a")), of=pool("frontend")) == ()
    other = Component(name="other", role=Role.WORKER, engine=None)
    found = parse_slice(piece("s", endpoint("a")))
    assert found is not None
    assert records_of([found], {"other": other}) == ()


def test_an_engine_whose_speed_nobody_stated_is_for_the_router_to_learn() -> None:
    """Defaults are those of a small model on a fast GPU; corrections start from there as from nothing."""
    for engine, known in (
        ({"type": "vllm"}, False),
        ({"type": "vllm", "stepTime": {"baseSeconds": 0.02}}, True),
        ({}, True),
    ):
        component = parse_component(pool(**engine))
        assert component is not None
        assert (component.engine is not None) is known


def test_a_pool_that_this_version_cannot_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_component({"metadata": {"name": "odd"}, "spec": {"component": {"name": "x", "role": "boss"}}}) is None
    assert "odd" in caplog.text


@asynccontextmanager
async def watching(server: FakeApiServer) -> AsyncIterator[AsyncIterator[Sequence[WorkerRecord]]]:
    await server.start()
    config = KubeConfig.from_dict(
        {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )
    watch = ClusterDiscovery("d", "ns", AsyncClient(config=config, trust_env=False)).watch()
    try:
        yield watch
    finally:
        await watch.aclose()
        await server.stop()


async def following(watch: AsyncIterator[Sequence[WorkerRecord]]) -> list[str]:
    return [record.id for record in await asyncio.wait_for(anext(watch), 5)]


def test_changes_arrive_as_they_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_RETRY_S", 0.05)

    async def test() -> None:
        server = FakeApiServer()
        server.put("endpointslices", piece("s", endpoint("a")))
        server.put("componentpools", pool())
        async with watching(server) as watch:
            assert await following(watch) == ["a"]
            await asyncio.sleep(0.1)  # both watches stand
            server.put("endpointslices", piece("s", endpoint("a"), endpoint("b")))
            assert await following(watch) == ["a", "b"]
            server.put("endpointslices", piece("s", endpoint("a", terminating=True), endpoint("b")))
            assert await following(watch) == ["b"]
            server.delete("endpointslices", "s")
            assert await following(watch) == []

    run(test())


def test_what_was_missed_while_a_watch_was_broken_is_found_by_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_RETRY_S", 0.05)

    async def test() -> None:
        server = FakeApiServer()
        server.put("endpointslices", piece("s", endpoint("a")))
        server.put("componentpools", pool())
        async with watching(server) as watch:
            assert await following(watch) == ["a"]
            await asyncio.sleep(0.1)
            server.put("endpointslices", piece("s", endpoint("b")), silently=True)
            server.cut()
            assert await following(watch) == ["b"]
            await asyncio.sleep(0.1)
            server.gone = True  # a version too old to watch from
            server.put("endpointslices", piece("s", endpoint("c")), silently=True)
            server.cut()
            assert await following(watch) == ["c"]

    run(test())


def test_while_the_api_server_fails_the_workers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data is not an empty list."""
    monkeypatch.setattr(mirror, "_RETRY_S", 0.05)

    async def test() -> None:
        server = FakeApiServer()
        server.put("endpointslices", piece("s", endpoint("a")))
        server.put("componentpools", pool())
        async with watching(server) as watch:
            assert await following(watch) == ["a"]
            await asyncio.sleep(0.1)
            coming = asyncio.ensure_future(anext(watch))
            server.down = True
            server.objects["endpointslices"].clear()
            server.cut()
            await asyncio.sleep(0.3)
            assert not coming.done()
            await server.stop()  # and then there is not even a socket
            await asyncio.sleep(0.2)
            assert not coming.done()
            server.down = False
            server.put("endpointslices", piece("s", endpoint("b")))
            await server.start()
            assert [record.id for record in await asyncio.wait_for(coming, 5)] == ["b"]

    run(test())


class Listed:
    """A discovery whose list the test sets."""

    def __init__(self) -> None:
        self.lists: asyncio.Queue[list[WorkerRecord]] = asyncio.Queue()

    async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
        while True:
            yield await self.lists.get()


def test_a_worker_is_listed_once_it_has_completed_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its health check says nothing of whether it can serve."""
    monkeypatch.setattr("penstock.gateway.proven._AGAIN_S", 0.05)

    async def test() -> None:
        bad, good = FakeWorker(id="bad"), FakeWorker(id="good")
        allowed = asyncio.Event()

        async def fails_at_first(asked: Any) -> None:
            status = "200 OK" if allowed.is_set() else "500 Internal Server Error"
            asked.writer.write(whole({"choices": []}, status))

        bad.script = [fails_at_first]
        await bad.start()
        await good.start()
        inner = Listed()
        pool = UpstreamPool(UpstreamLimits(), asyncio.get_running_loop().time)
        watch = Proven(inner, pool, "tiny").watch()
        try:
            inner.lists.put_nowait([bad.record, good.record])
            assert await following(watch) == []
            assert await following(watch) == ["good"]
            assert len(bad.asked) >= 1
            allowed.set()
            assert await following(watch) == ["bad", "good"]
            assert bad.asked[0].json["max_tokens"] == 1
            inner.lists.put_nowait([good.record])
            assert await following(watch) == ["good"]
            asked = len(bad.asked)
            allowed.clear()
            inner.lists.put_nowait([bad.record, good.record])  # it comes back, and must prove itself anew
            await asyncio.sleep(0.3)
            assert len(bad.asked) > asked
            allowed.set()
            assert await following(watch) == ["bad", "good"]
        finally:
            await watch.aclose()
            await bad.stop()
            await good.stop()

    run(test())


def test_what_ends_the_inner_discovery_is_not_swallowed() -> None:
    class Broken:
        async def watch(self) -> AsyncIterator[Sequence[WorkerRecord]]:
            raise ZeroDivisionError("a bug")
            yield []

    async def test() -> None:
        pool = UpstreamPool(UpstreamLimits(), asyncio.get_running_loop().time)
        watch = Proven(Broken(), pool, None).watch()
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(anext(watch), 5)

    run(test())
