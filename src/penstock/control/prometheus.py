"""Asks a Prometheus one number at a time, by its HTTP API. No data is None; trouble is an error, and neither is 0.

Every call is bounded in time and size. NaN and infinities are no data: a ratio of nothing, a quantile of no traffic.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

import asyncio
import math
from typing import Any, Protocol

import aiohttp
import orjson

TIMEOUT_S = 3.0
MAX_BYTES = 1 << 20


class PrometheusTrouble(Exception):
    """It did not answer as it should; says how, in one line."""


class Token(Protocol):
    """Who asks."""

    async def bearer(self, session: aiohttp.ClientSession) -> str:
        """A token that is good now. Raises: PrometheusTrouble."""


class Prometheus:
    """One server. Args: url: base of its API; Azure Managed Prometheus' query endpoint is one. token: None: none."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: Token | None = None) -> None:
        self._session, self._url, self._token = session, f"{url.rstrip('/')}/api/v1/query", token

    async def number(self, query: str) -> float | None:
        """The one element of a query's answer, now. None: there is none. Raises: PrometheusTrouble."""
        headers = {}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._token is not None:
                    headers["Authorization"] = f"Bearer {await self._token.bearer(self._session)}"
                async with self._session.post(self._url, data={"query": query}, headers=headers) as response:
                    body = await bounded(response)
                    status = response.status
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError among them
            raise PrometheusTrouble(f"no answer ({type(error).__name__})") from error
        return parse_answer(status, body)


async def bounded(response: aiohttp.ClientResponse) -> bytes:
    """A body of at most MAX_BYTES. Raises: PrometheusTrouble."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BYTES:
            raise PrometheusTrouble(f"an answer of more than {MAX_BYTES} bytes")
    return bytes(body)


def parse_answer(status: int, body: bytes) -> float | None:
    """Read an answer. Raises: PrometheusTrouble, for what is none, and for more than one element."""
    try:
        document: Any = orjson.loads(body)
    except ValueError as error:
        raise PrometheusTrouble(f"status {status}, and no JSON") from error
    if not isinstance(document, dict) or document.get("status") != "success":
        said = document.get("error") if isinstance(document, dict) else None
        raise PrometheusTrouble(f"status {status}: {' '.join(str(said).split())[:200]}")
    try:
        data = document["data"]
        elements = [data] if data["resultType"] == "scalar" else data["result"]
        if not elements:
            return None
        if len(elements) > 1:
            raise PrometheusTrouble(f"{len(elements)} elements where one was asked for")
        value = float(elements[0]["result" if data["resultType"] == "scalar" else "value"][1])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PrometheusTrouble("an answer of another shape") from error
    return value if math.isfinite(value) else None
