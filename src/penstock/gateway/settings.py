"""Every setting of the gateway: its effect, unit, default and why."""

from dataclasses import dataclass
from typing import Literal

RoutingPolicy = Literal["kv", "least-loaded", "round-robin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """Bounds on what a client may send.

    Args:
        head_bytes: request line and headers; 64 KiB is four times what common servers take.
        body_bytes: one request body; a prompt of a million token ids is about 7 MB.
        connections: open client connections; one more is answered 503.
        pipelined: requests that wait behind one in progress on the same connection, before no more of it is read.
        idle_timeout_s: a kept-alive connection without a request is closed after this.
        receive_timeout_s: silence in the middle of a request, after which it is answered 408.
        flush_timeout_s: a connection that is to close is cut after this, if its client does not read the rest. Twice
            as long as for receiving: the kernel tells that a client reads only every so many kilobytes.
    """

    head_bytes: int = 64 * 1024
    body_bytes: int = 64 * 1024 * 1024
    connections: int = 10_000
    pipelined: int = 16
    idle_timeout_s: float = 75.0
    receive_timeout_s: float = 30.0
    flush_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamLimits:
    """Bounds on how workers are called.

    Args:
        connect_timeout_s: loopback and cluster networks connect in milliseconds or not at all.
        silence_timeout_s: no byte from a worker for this long, before or after the first one. Long, because a request
            may queue in an engine for minutes; a worker that hangs is to be killed by whoever supervises it.
        idle_connections: kept open per worker.
        idle_timeout_s: below uvicorn's 5 s, so that we close an idle connection before the worker does.
        head_bytes: response line and headers.
        buffered_bytes: a whole (not streamed) response is held back up to this size, so that it can be retried.
        deliveries: how many workers may be given one request before it is refused with 502. More than three, and a
            request that kills engines would take a deployment down.
        refusals: how many workers may decline it unseen (connection refused, draining) before that.
    """

    connect_timeout_s: float = 2.0
    silence_timeout_s: float = 600.0
    idle_connections: int = 256
    idle_timeout_s: float = 4.0
    head_bytes: int = 64 * 1024
    buffered_bytes: int = 16 * 1024 * 1024
    deliveries: int = 3
    refusals: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """One gateway.

    Args:
        host, port: where it listens; port 0 takes a free one.
        model: name told by /v1/models; None: what the workers tell.
        policy: how workers are chosen.
        slo_ttft_s, slo_itl_s: targets; the router prices against them and the histograms get an edge at each.
        hold_max: requests held while no worker is ready.
        hold_timeout_s: the longest that one is held.
        scrape_interval_s: how often each worker's /metrics is read for its load.
        grace_s: on SIGTERM, how long requests in flight may take to finish.
        block_tokens: tokens per KV block, until a worker tells its own.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: str | None = None
    policy: RoutingPolicy = "kv"
    slo_ttft_s: float = 0.5
    slo_itl_s: float = 0.05
    hold_max: int = 1000
    hold_timeout_s: float = 300.0
    scrape_interval_s: float = 2.0
    grace_s: float = 30.0
    block_tokens: int = 16
    wire: WireLimits = WireLimits()
    upstream: UpstreamLimits = UpstreamLimits()
