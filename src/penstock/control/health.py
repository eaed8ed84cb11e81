"""Asks a process how it is: /health, one real completion, /metrics. Every call is bounded in time and in size.

No answer and a bad answer are the same here: False, or None. The life-cycle and the policies decide what follows.
"""

import asyncio

import aiohttp

CHECK_TIMEOUT_S = 2.0
PROBE_TIMEOUT_S = 20.0  # a first completion may warm an engine up
SCRAPE_TIMEOUT_S = 0.8  # an observation is due every second
MAX_SCRAPE_BYTES = 4 << 20
_FAILED = (aiohttp.ClientError, asyncio.TimeoutError, OSError, UnicodeDecodeError, ValueError)


def open_session() -> aiohttp.ClientSession:
    """One pool of connections for all of it; proxies of the environment are not for our own processes."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=256, limit_per_host=4, keepalive_timeout=4.0),
        trust_env=False,
        auto_decompress=True,
    )


async def is_healthy(session: aiohttp.ClientSession, url: str, path: str = "/health") -> bool:
    """Whether it answers 200."""
    try:
        async with session.get(url + path, timeout=aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S)) as response:
            return response.status == 200
    except _FAILED:
        return False


async def serves(session: aiohttp.ClientSession, url: str, model: str) -> bool:
    """Whether it completes one token: an engine may answer /health and still fail at its first request."""
    body = {"model": model, "prompt": "ready", "max_tokens": 1}
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    try:
        async with session.post(url + "/v1/completions", json=body, timeout=timeout) as response:
            await response.content.read(MAX_SCRAPE_BYTES)
            return response.status == 200
    except _FAILED:
        return False


async def scrape(session: aiohttp.ClientSession, url: str) -> str | None:
    """Its /metrics. None: no answer, a bad one, or an endless one."""
    try:
        async with session.get(url + "/metrics", timeout=aiohttp.ClientTimeout(total=SCRAPE_TIMEOUT_S)) as response:
            if response.status != 200:
                return None
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_SCRAPE_BYTES:
                    return None
            return body.decode()
    except _FAILED:
        return None
