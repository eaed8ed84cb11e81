"""Who is listed: files that change, URLs that come and go, and what is read of workers."""

import asyncio
import json
from pathlib import Path

import pytest
from gateway_fakes import CHAT, FakeWorker, run, running, until

from penstock.errors import InputError
from penstock.gateway.discovery import FileDiscovery, StaticDiscovery, parse_records
from penstock.gateway.routing import Routing
from penstock.gateway.scrape import parse_load
from penstock.gateway.settings import GatewaySettings, UpstreamLimits
from penstock.gateway.upstream import parse_address
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role, WorkerRecord
from penstock.router.route_request import RouteRequest

ONE = {"id": "a", "url": "http://127.0.0.1:1", "component": "c", "role": "worker", "engine": {"blockTokens": 32}}


def record(name: str, **more: object) -> WorkerRecord:
    return WorkerRecord(id=name, url="http://127.0.0.1:1", component="c", role=Role.WORKER, **more)  # type: ignore[arg-type]


def test_a_file_is_followed_as_it_changes_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        file = tmp_path / "workers.json"
        watch = FileDiscovery(file).watch()
        coming = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.15)
        assert not coming.done(), "a file that is not there yet is waited for"
        file.write_text(json.dumps([ONE]))
        (seen,) = await asyncio.wait_for(coming, 2)
        assert (seen.id, seen.role, seen.engine.block_tokens) == ("a", Role.WORKER, 32)
        coming = asyncio.ensure_future(anext(watch))
        for broken in ("[{]", '[{"id": 1}]', "{}"):
            file.write_text(broken)
            await asyncio.sleep(0.15)
            assert not coming.done()
        file.unlink()
        await asyncio.sleep(0.15)
        assert not coming.done(), "a file that is gone says nothing"
        file.write_text("[]")
        assert await asyncio.wait_for(coming, 2) == ()
        await watch.aclose()

    run(test())


def test_a_file_that_could_not_be_read_once_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        file = tmp_path / "workers.json"
        file.write_text("[]")
        read, failures = Path.read_bytes, [OSError(24, "Too many open files")]

        def fail_once(path: Path) -> bytes:
            if failures:
                raise failures.pop()
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", fail_once)
        watch = FileDiscovery(file).watch()
        assert await asyncio.wait_for(anext(watch), 2) == ()
        await watch.aclose()

    run(test())


@pytest.mark.parametrize(("document", "where"), [(b'[{"id": "a"}]', "0.url"), (b"nonsense", "Invalid JSON")])
def test_a_broken_list_says_where(document: bytes, where: str) -> None:
    with pytest.raises(ValueError, match=where):
        parse_records(document)


@pytest.mark.parametrize("url", ["https://a", "a:1", "http://", "http://a:b", "http://a?x", "ftp://a"])
def test_a_worker_url_must_be_plain_http(url: str) -> None:
    with pytest.raises(InputError, match="http://127"):
        parse_address(url)


def test_a_worker_url_may_have_a_path_and_a_v6_address() -> None:
    assert parse_address("http://[::1]:9/base/").host_header == b"[::1]:9"
    assert parse_address("http://[::1]:9/base/").prefix == b"/base"


def test_fixed_workers_are_listed_while_they_are_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.gateway.discovery._HEALTH_POLL_S", 0.02)

    async def test() -> None:
        well, ill = FakeWorker(), FakeWorker(healthy=False)
        for worker in (well, ill):
            await worker.start()
        pool = UpstreamPool(UpstreamLimits(), asyncio.get_running_loop().time)
        urls = [f"http://127.0.0.1:{worker.port}" for worker in (well, ill)]
        watch = StaticDiscovery(urls, pool).watch()
        assert [seen.url for seen in await anext(watch)] == urls[:1]
        ill.healthy = True
        assert [seen.url for seen in await anext(watch)] == urls
        await well.stop()
        assert [seen.url for seen in await anext(watch)] == urls[1:]
        await ill.stop()
        assert await anext(watch) == []
        await watch.aclose()
        pool.close()

    run(test())


def test_a_worker_that_leaves_the_list_gets_nothing_new() -> None:
    async def test() -> None:
        first, second = FakeWorker(id="a"), FakeWorker(id="b")
        async with running(first, second) as gateway:
            gateway.discovery.say([second.record])
            await asyncio.sleep(0.01)
            for _ in range(3):
                assert (await gateway.post(CHAT)).headers["x-penstock-worker"] == "b"

    run(test())


def test_the_first_worker_that_tells_its_block_size_sets_it() -> None:
    routing = Routing(GatewaySettings(), lambda: 0.0)
    came, gone = routing.update([record("a", engine=EngineSpec(block_tokens=64))])
    assert ([member.record.id for member in came], gone, routing.block_tokens) == (["a"], [], 64)
    routing.update([record("a", engine=EngineSpec(block_tokens=64)), record("b", engine=EngineSpec(block_tokens=16))])
    assert routing.block_tokens == 64
    _, gone = routing.update([])
    assert {member.record.id for member in gone} == {"a", "b"}
    assert not routing.can_serve


def test_a_worker_that_fails_is_avoided_longer_each_time_until_it_answers() -> None:
    now = 0.0
    routing = Routing(GatewaySettings(), lambda: now)
    routing.update([record("a")])
    asked = RouteRequest(id=1, prompt_tokens=1)
    waits = []
    for _ in range(6):
        routing.failed("a", now)
        routing.failed("a", now)  # another request, the same failure
        assert routing.choose(asked, now) is None
        failed_at = now
        while not routing.some_may_serve(now):
            now += 0.25
        waits.append(now - failed_at)
        assert routing.choose(asked, now) is not None
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    routing.failed("a", now)
    routing.answered("a")
    assert routing.choose(asked, now) is not None


def test_a_worker_may_fail_for_hours() -> None:
    routing = Routing(GatewaySettings(), lambda: 0.0)
    routing.update([record("a")])
    for number in range(5000):
        routing.failed("a", 10.0 * number)
    assert routing.some_may_serve(10.0 * 5000)


def test_load_is_read_from_either_engines_names_and_nothing_is_made_up() -> None:
    vllm = b"""# HELP x
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
"""
    load = parse_load(vllm, at_s=7.0)
    assert (load.at_s, load.running, load.waiting, load.kv_usage) == (7.0, 7.0, 2.0, 0.5)
    load = parse_load(b'sglang:num_running_reqs 1\nsglang:num_queue_reqs{a="b"} 2\nsglang:token_usage NaN\n', at_s=0.0)
    assert (load.running, load.waiting) == (1.0, 2.0)
    assert parse_load(b"other 1\n", at_s=0.0).running is None


def test_what_a_worker_tells_of_its_load_reaches_the_router() -> None:
    async def test() -> None:
        told = b"vllm:num_requests_running 50\nvllm:num_requests_waiting 9\nvllm:kv_cache_usage_perc 0.9\n"
        busy, idle = (
            FakeWorker(id="busy", metrics=told),
            FakeWorker(id="idle", metrics=b"vllm:num_requests_running 0\n"),
        )
        async with running(busy, idle, policy="least-loaded", scrape_interval_s=0.02) as gateway:
            router = gateway.gateway.front.routing.router
            asked = RouteRequest(id="?", prompt_tokens=1)
            await until(lambda: any(price.in_flight >= 59 for price in router.explain(asked, 0.0).prices))
            for _ in range(4):
                assert (await gateway.post(CHAT)).headers["x-penstock-worker"] == "idle"

    run(test())
