"""The web port over real sockets: headers, data, streams, bounds."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fake_run import FakeRun, deployment, play
from prometheus_client import CollectorRegistry, Counter

from penstock.errors import InputError
from penstock.telemetry.event_stream import EventStream
from penstock.telemetry.feed import Feed
from penstock.telemetry.page_assets import page_asset, plotly_script
from penstock.telemetry.page_server import PageServer
from penstock.telemetry.web import create_app, to_json


@contextlib.asynccontextmanager
async def served(feed: Feed, **options: Any) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    server = PageServer(create_app(feed, **options), host="127.0.0.1", port=0)
    url = (await server.start()).rstrip("/")
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as client:
            yield url, client
    finally:
        await server.stop()


def fed(seconds: int = 30) -> tuple[Feed, FakeRun]:
    run = FakeRun(deployment(), seed=1)
    feed = Feed(run.spec, costs=lambda: run.costs)
    play(feed, run.events(seconds))
    return feed, run


async def next_event(stream: aiohttp.StreamReader) -> dict[str, str]:
    """The next event that is not a comment."""
    event: dict[str, str] = {}
    async for line in stream:
        text = line.decode().rstrip("\n")
        if not text and "data" in event:
            return event
        name, _, value = text.partition(": ")
        event[name] = value
    raise EOFError


@pytest.mark.parametrize("path", ["/", "/history", "/static/page.css", "/static/plotly.min.js", "/nowhere"])
def test_every_answer_carries_the_policy(path: str) -> None:
    """No inline script or style, no eval, no other host, no frame; also on errors."""

    async def scenario() -> None:
        async with served(fed()[0]) as (url, client), client.get(url + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "http" not in policy
            assert policy.startswith("default-src 'none'")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.status == (404 if path == "/nowhere" else 200)

    asyncio.run(scenario())


def test_the_page_names_only_its_own_files() -> None:
    """Every src and href is a path of this server that answers."""

    async def scenario() -> None:
        async with served(fed()[0]) as (url, client):
            async with client.get(url + "/") as answer:
                html = await answer.text()
            assert "{plotly" not in html
            for part in html.replace("src=", "href=").split('href="')[1:]:
                path = part.split('"')[0]
                if path.startswith("#") or path == "/metrics":
                    continue
                async with client.get(url + path) as answer:
                    assert answer.status == 200, path

    asyncio.run(scenario())


def test_history_is_the_feeds() -> None:
    """As JSON that no cache keeps."""
    feed, _ = fed()

    async def scenario() -> None:
        async with served(feed) as (url, client), client.get(url + "/history") as answer:
            document = await answer.json()
            assert document["seq"] == feed.seq
            assert len(document["time_s"]) == 30
            assert answer.headers["Cache-Control"] == "no-store"

    asyncio.run(scenario())


def test_news_comes_as_deltas_a_second_apart() -> None:
    """After /history: only what is new, with an id from which to go on."""
    feed, run = fed()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with served(feed) as (url, client):
            async with client.get(url + "/history") as answer:
                history = await answer.json()
            place = f"{history['run']}-{history['seq']}"
            async with client.get(f"{url}/events?after={place}") as stream:
                assert stream.headers["Content-Type"] == "text/event-stream"
                play(feed, run.events(31, from_s=30))
                first = await next_event(stream.content)
                began_s = loop.time()
                for second in range(31, 36):
                    play(feed, run.events(second + 1, from_s=second))
                second_event = await next_event(stream.content)
                assert loop.time() - began_s > 0.7
            assert [moment["time_s"] for moment in json.loads(first["data"])["moments"]] == [30.0]
            assert len(json.loads(second_event["data"])["moments"]) == 5
            async with client.get(url + "/events", headers={"Last-Event-ID": first["id"]}) as stream:
                again = await next_event(stream.content)
            assert again["data"] == second_event["data"]

    asyncio.run(scenario())


@pytest.mark.parametrize("place", ["", "12", "other-12", "-", "RUN-99999", "RUN-²"])
def test_an_unknown_place_is_told_to_start_over(place: str) -> None:
    """Another run, nonsense, or a place of the future: reset, not silence and not an error."""
    feed, _ = fed()

    async def scenario() -> None:
        async with served(feed) as (url, client):
            async with client.get(url + "/history") as answer:
                run = (await answer.json())["run"]
            params = {"after": place.replace("RUN", run)}
            async with client.get(url + "/events", params=params) as stream:
                event = await next_event(stream.content)
            assert event["event"] == "reset"

    asyncio.run(scenario())


def test_clients_are_bounded_and_places_given_back() -> None:
    """The third of two is refused with Retry-After; when one leaves, there is room again."""
    feed, _ = fed()

    async def scenario() -> None:
        events = EventStream(feed, to_json=to_json, max_clients=2)
        async with served(feed, events=events) as (url, client):
            one = await client.get(url + "/events")
            two = await client.get(url + "/events")
            async with client.get(url + "/events") as refused:
                assert refused.status == 503
                assert "Retry-After" in refused.headers
            one.close()
            for _ in range(100):
                if events.clients == 1:
                    break
                await asyncio.sleep(0.02)
            assert events.clients == 1
            two.close()

    asyncio.run(scenario())


def test_a_client_that_does_not_read_is_dropped() -> None:
    """It asked for the stream and sleeps; once its buffers are full it is let go of, and the others go on."""
    feed, run = fed()

    async def scenario() -> None:
        events = EventStream(
            feed,
            to_json=lambda news: to_json(news) + b" " * 4_000_000,
            send_timeout_s=0.3,
            look_every_s=0.02,
            every_s=0.0,
        )
        async with served(feed, events=events) as (url, _):
            port = int(url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.write(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await writer.drain()
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            second = 30
            for _ in range(200):
                if events.clients == 0:
                    break
                play(feed, run.events(second + 1, from_s=second))
                second += 1
                await asyncio.sleep(0.02)
            assert events.clients == 0
            writer.close()

    asyncio.run(scenario())


def test_stopping_ends_open_streams_at_once() -> None:
    """Ctrl-C does not wait for browsers."""
    feed, _ = fed()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        server = PageServer(create_app(feed), host="127.0.0.1", port=0)
        url = await server.start()
        async with aiohttp.ClientSession() as client, client.get(url + "events") as stream:
            await stream.content.readline()
            began_s = loop.time()
            await server.stop()
            assert loop.time() - began_s < 1.5
            assert (await stream.content.read()).count(b"reset") <= 1

    asyncio.run(scenario())


def test_a_strange_host_name_is_refused() -> None:
    """A page elsewhere cannot read this one through a DNS name of its own; any name, if so asked."""
    feed, _ = fed()

    async def scenario(hosts: dict[str, Any], host: str) -> int:
        async with (
            served(feed, **hosts) as (url, client),
            client.get(url + "/history", headers={"Host": host}) as answer,
        ):
            return answer.status

    assert asyncio.run(scenario({}, "evil.example:8080")) == 421
    assert asyncio.run(scenario({}, "localhost:8080")) == 200
    assert asyncio.run(scenario({}, "[::1]:8080")) == 200
    assert asyncio.run(scenario({"allowed_hosts": ("*",)}, "gpu-box:8080")) == 200


def test_metrics_are_there_only_with_a_registry() -> None:
    """Given one, it is shown as Prometheus reads it."""
    feed, _ = fed()
    registry = CollectorRegistry()
    Counter("penstock_test", "A count.", registry=registry).inc()

    async def scenario(**options: Any) -> tuple[int, str]:
        async with served(feed, **options) as (url, client), client.get(url + "/metrics") as answer:
            return answer.status, await answer.text()

    assert asyncio.run(scenario())[0] == 404
    status, body = asyncio.run(scenario(registry=registry))
    assert status == 200
    assert "penstock_test_total 1.0" in body


def test_a_port_in_use_is_an_input_error() -> None:
    """One line that names the option and the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = PageServer(create_app(fed()[0]), host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(InputError, match="--web-port"):
            asyncio.run(server.start())


def test_plotly_is_kept_by_the_browser_and_ours_is_small() -> None:
    """The large script is fetched once a version; everything else is under 200 KB."""

    async def scenario() -> None:
        async with served(fed()[0]) as (url, client), client.get(url + "/static/plotly.min.js") as answer:
            assert "immutable" in answer.headers["Cache-Control"]
            assert len(await answer.read()) == plotly_script().stat().st_size

    asyncio.run(scenario())
    names = (
        "index.html",
        "page.css",
        "plotly.css",
        "format.js",
        "charts.js",
        "figures.js",
        "parts.js",
        "live.js",
        "icon.svg",
    )
    assert sum(len(page_asset(name).content) for name in names) < 200_000
