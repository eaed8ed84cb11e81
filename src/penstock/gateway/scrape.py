"""What workers say of their load, read now and then from their `/metrics`, for the router.

The control loop scrapes for itself; this is only a correction of what the router expects, so it is light: three
gauges, by a search for their lines, bounded in number, size and time. A worker that does not answer tells nothing.
"""

import asyncio
import re
from collections.abc import Callable

from penstock.gateway.relay import Whole
from penstock.gateway.routing import Member, Routing
from penstock.gateway.upstream_pool import UpstreamPool
from penstock.gateway.whole import call, get
from penstock.router.worker_info import WorkerLoad

_AT_ONCE = 8
_TIMEOUT_S = 2.0
_LIMIT_BYTES = 2 * 1024 * 1024
_GAUGE = re.compile(
    rb"^(?:vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc)"
    rb"|sglang:(num_running_reqs|num_queue_reqs|token_usage))(?:\{[^\n]*\})? ([^ \n]+)",
    re.MULTILINE,
)
_FIELDS = {
    b"num_requests_running": "running",
    b"num_running_reqs": "running",
    b"num_requests_waiting": "waiting",
    b"num_queue_reqs": "waiting",
    b"kv_cache_usage_perc": "kv_usage",
    b"token_usage": "kv_usage",
}


def parse_load(text: bytes, *, at_s: float) -> WorkerLoad:
    """Read the three gauges; several engines behind one endpoint add up, their KV use is their mean."""
    found: dict[str, list[float]] = {}
    for vllm, sglang, value in _GAUGE.findall(text):
        try:
            found.setdefault(_FIELDS[vllm or sglang], []).append(float(value))
        except ValueError:
            continue
    kv = found.get("kv_usage")
    return WorkerLoad(
        at_s=at_s,
        running=sum(found["running"]) if "running" in found else None,
        waiting=sum(found["waiting"]) if "waiting" in found else None,
        kv_usage=sum(kv) / len(kv) if kv else None,
    )


async def scrape_forever(routing: Routing, pool: UpstreamPool, clock: Callable[[], float], interval_s: float) -> None:
    """Tell the router every worker's load, every `interval_s`."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def scrape(member: Member) -> None:
        async with gate:
            asked_s = clock()
            what = get(member.address, "/metrics", limit_bytes=_LIMIT_BYTES, timeout_s=_TIMEOUT_S)
            answer = await call(pool, member.address, what)
            if isinstance(answer, Whole) and answer.head.status == 200:
                routing.measured(member.record.id, parse_load(answer.body, at_s=asked_s), clock())

    while True:
        await asyncio.sleep(interval_s)
        await asyncio.gather(*(scrape(member) for member in routing.members))
