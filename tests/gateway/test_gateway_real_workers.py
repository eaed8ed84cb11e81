"""The gateway before real worker processes, with the official client: KV routing, P/D, and a worker that is killed."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gateway_fakes import ListDiscovery, run, until
from openai import AsyncOpenAI

from penstock.gateway.server import Gateway
from penstock.gateway.settings import GatewaySettings
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role, WorkerRecord
from penstock.tokenizer.tokenizer import Tokenizer

MODEL = "penstock/tiny"
TOKENS = 600  # of an answer that is still being made when all others have been asked for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Deployment:
    """A gateway in this process, workers in their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.records: dict[str, WorkerRecord] = {}
        self.discovery = ListDiscovery()
        self.gateway = Gateway(GatewaySettings(port=0, policy="kv"), Tokenizer.load(MODEL))

    def start(self, name: str, role: Role, *more: str) -> None:
        port = free_port()
        events, replay = (f"ipc://{self.folder}/{name}.{kind}" for kind in ("kv", "replay"))
        options = ["--port", str(port), "--id", name, "--role", role, "--kv-events", events, "--kv-replay", replay]
        command = [sys.executable, "-m", "penstock.cli.program", "worker", *options, *more]
        self.processes[name] = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.records[name] = WorkerRecord(
            id=name,
            url=f"http://127.0.0.1:{port}",
            component=role,
            role=role,
            kv_events=events,
            kv_replay=replay,
            engine=EngineSpec(),
        )

    async def ready(self) -> None:
        for record in self.records.values():
            await until(partial(alive, record.url), within_s=20.0)
        self.discovery.say(list(self.records.values()))
        await until(lambda: len(self.gateway.front.routing.members) == len(self.records))

    def holds_blocks(self) -> bool:
        index = self.gateway.front.routing.router.index
        return any(index.num_blocks(name) for name in self.records)

    @property
    def client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"http://127.0.0.1:{self.gateway.port}/v1", api_key="none", max_retries=0)

    def count(self, name: str, **labels: str) -> float:
        return self.gateway.front.metrics.registry.get_sample_value(f"penstock_gateway_{name}", labels) or 0.0


@asynccontextmanager
async def deployment(folder: Path, *workers: tuple[str, Role]) -> AsyncIterator[Deployment]:
    made = Deployment(folder)
    try:
        for name, role in workers:
            made.start(name, role)
        await made.gateway.start(made.discovery)
        await made.ready()
        yield made
    finally:
        await made.gateway.stop(0.0)
        for process in made.processes.values():
            process.kill()
            process.wait()


def words(seed: int, count: int = 600) -> str:
    return " ".join(f"{seed} the request waits for token {index}" for index in range(count // 6))


async def ask(client: AsyncOpenAI, prompt: str, **more: Any) -> str:
    raw = await client.completions.with_raw_response.create(model=MODEL, prompt=prompt, max_tokens=4, **more)
    return str(raw.headers["x-penstock-worker"])


def test_the_official_client_is_served_and_shared_prefixes_go_where_they_are_cached(tmp_path: Path) -> None:
    async def test() -> None:
        async with deployment(tmp_path, ("a", Role.WORKER), ("b", Role.WORKER)) as made, made.client as client:
            assert [model.id async for model in await client.models.list()] == [MODEL]
            chat: list[Any] = [{"role": "user", "content": "hello"}]
            answer = await client.chat.completions.create(model=MODEL, messages=chat, max_tokens=5)
            assert answer.usage is not None
            assert answer.usage.completion_tokens == 5
            stream = await client.chat.completions.create(model=MODEL, messages=chat, max_tokens=5, stream=True)
            events = [event async for event in stream]
            assert sum(bool(event.choices and event.choices[0].delta.content) for event in events) == 5
            assert made.count("output_tokens_total") == 10, "counted from events where no usage was asked for"
            for seed in range(4):
                first = await ask(client, words(seed))
                await until(made.holds_blocks)
                again = [await ask(client, words(seed) + f" and then {more}") for more in range(3)]
                assert set(again) == {first}
            assert made.count("prompt_tokens_cached_total") > 0.5 * made.count("prompt_tokens_total")
            assert made.count("internal_errors_total") == 0

    run(test())


def test_prefill_and_decode_workers_serve_together_and_decode_alone_when_prefill_is_killed(tmp_path: Path) -> None:
    async def test() -> None:
        async with deployment(tmp_path, ("p", Role.PREFILL), ("d", Role.DECODE)) as made, made.client as client:
            assert await ask(client, words(1)) == "d"
            stream = await client.completions.create(model=MODEL, prompt=words(2), max_tokens=6, stream=True)
            assert (
                sum(bool(event.choices and event.choices[0].text) for event in [event async for event in stream]) == 6
            )
            assert made.count("prefill_fallbacks_total") == 0
            made.processes["p"].send_signal(signal.SIGKILL)
            made.processes["p"].wait()
            assert await ask(client, words(3)) == "d"
            assert made.count("requests_total", code="200") == 3

    run(test())


def test_a_worker_killed_with_requests_on_it_loses_none(tmp_path: Path) -> None:
    async def test() -> None:
        async with deployment(tmp_path, ("a", Role.WORKER), ("b", Role.WORKER)) as made, made.client as client:
            asking = [
                asyncio.ensure_future(client.completions.create(model=MODEL, prompt=words(seed), max_tokens=TOKENS))
                for seed in range(16)
            ]
            await until(lambda: made.count("requests_in_flight") == 16)
            made.processes["a"].send_signal(signal.SIGKILL)
            answers = await asyncio.gather(*asking)
            usages = [json.loads(answer.model_dump_json())["usage"] for answer in answers]
            assert [usage["completion_tokens"] for usage in usages] == [TOKENS] * 16
            assert made.count("requests_total", code="200") == 16

    run(test())
