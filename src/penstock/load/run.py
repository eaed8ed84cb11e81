"""One load run, from the first connection to the result: puts target, prompts, open loop and summary together."""

import gc
import resource
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from penstock.errors import InputError
from penstock.load.body import Endpoint
from penstock.load.exchange import Exchange
from penstock.load.lateness import ClientReport
from penstock.load.pace import OpenLoop
from penstock.load.target import Target, served_model
from penstock.messages.outcome import RequestOutcome
from penstock.messages.result import Result
from penstock.messages.spec import SloSpec
from penstock.telemetry.summary import Summary
from penstock.tokenizer.tokenizer import Tokenizer
from penstock.workload.arrival import Arrival
from penstock.workload.prompts import Prompts

_SHIPPED = "penstock/tiny"  # its words are common English ones: mostly one token each for other models too
_KEEPALIVE_S = 4.0  # below the 5 s after which uvicorn closes: a connection closed as we write would count as failed
_LEAD_S = 0.1  # before time begins, so that the first request is not late by our own start
_CONNECT_TIMEOUT_S = 10.0
_LENGTHS_DIFFER = 0.02  # prompts that are off by more than this share are worth a word
_SPARE_FILES = 64  # open files beside the connections


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What a run is asked to do.

    Args:
        model: None for the first that the server lists.
        tokenizer: folder of the model's tokenizer, for exact prompt lengths; None for the one that ships.
        timeout_s: longest wait for one answer; so the tail after the last request is bounded too.
    """

    base: str
    slo: SloSpec
    model: str | None = None
    endpoint: Endpoint = Endpoint.COMPLETIONS
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    tokenizer: Path | None = None
    seed: int = 0
    timeout_s: float = 120.0
    max_in_flight: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a run came to.

    Args:
        broken: what ended the reading of the workload early.
        warnings: what the reader of the result has to know, a sentence each.
    """

    result: Result
    client: ClientReport
    broken: InputError | None
    warnings: tuple[str, ...]


class LoadRun:
    """One run. `started` is called once requests begin, with the open loop to show or to stop."""

    def __init__(
        self,
        plan: LoadPlan,
        on_outcome: Callable[[RequestOutcome], None],
        on_start: Callable[["LoadRun", OpenLoop], None],
    ) -> None:
        self._plan = plan
        self._on_outcome = on_outcome
        self._on_start = on_start
        self._summary = Summary(plan.slo)
        self._began_s = time.perf_counter()

    def now_s(self) -> float:
        """Seconds since requests began; before that, since the run was made."""
        return time.perf_counter() - self._began_s

    async def run(self, arrivals: Iterable[Arrival]) -> LoadReport:
        """Raises: InputError, if the server cannot be asked at all."""
        plan = self._plan
        warnings: list[str] = []
        max_in_flight = _room_for(plan.max_in_flight, warnings)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=True) as session:
            words = Tokenizer.load(plan.tokenizer or _SHIPPED).words
            model = plan.model or await served_model(session, plan.base, plan.headers)
            target = Target(base=plan.base, model=model, endpoint=plan.endpoint, headers=plan.headers)
            exchange = Exchange(session, target, self.now_s, timeout_s=plan.timeout_s)
            loop = OpenLoop(
                exchange,
                Prompts(words, seed=plan.seed),
                self.now_s,
                self._ended,
                run_id=f"load-{secrets.token_hex(4)}",
                max_in_flight=max_in_flight,
            )
            gc.collect()
            gc.freeze()  # what stands now is not looked at again: pauses of the collector would make us late
            self._began_s = time.perf_counter() + _LEAD_S
            began_unix_s = time.time() + _LEAD_S
            self._on_start(self, loop)
            broken = None
            try:
                await loop.run(arrivals)
            except InputError as error:
                broken = error
            wall_s = self.now_s()
        client = loop.lateness.report(began_unix_s)
        warnings += self._warnings(client, exchange, loop.abandoned)
        return LoadReport(
            result=self._summary.result(wall_s=wall_s), client=client, broken=broken, warnings=tuple(warnings)
        )

    def _ended(self, outcome: RequestOutcome) -> None:
        self._summary.add(outcome)
        self._on_outcome(outcome)

    def _warnings(self, client: ClientReport, exchange: Exchange, abandoned: int) -> list[str]:
        warnings = []
        if client.was_bottleneck:
            warnings.append(
                f"this client was late itself: p99 {client.late_p99_s * 1000:.0f} ms, at most "
                f"{client.late_max_s:.2f} s; latencies include that. Lower --speed, or give it more CPU"
            )
        if not exchange.exact_length:
            warnings.append("the server refuses ignore_eos or min_tokens: answers may be shorter than the trace says")
        asked, got = exchange.asked_tokens, exchange.counted_tokens
        if asked and abs(got / asked - 1) > _LENGTHS_DIFFER:
            fix = "" if self._plan.tokenizer else "; give the model's tokenizer by --tokenizer"
            warnings.append(f"the server counts {got / asked:.2f} times the prompt tokens that the trace asks for{fix}")
        if abandoned:
            warnings.append(f"stopped with {abandoned} requests in flight; they are not counted")
        return warnings


def _room_for(connections: int, warnings: list[str]) -> int:
    """Allow this process that many open files, as far as the system lets us; returns how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        connections, wanted = hard - _SPARE_FILES, hard
        warnings.append(f"the system allows {hard} open files (ulimit -Hn): --max-in-flight is {connections}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return connections
