"""The server under load: where it is, which model it serves, and how to ask it."""

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import orjson

from penstock.errors import InputError
from penstock.load.body import Endpoint

_ASK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server.

    Args:
        base: scheme, host and port (and a path before /v1, if any), without a trailing slash.
        headers: sent with each request; may hold the API key, so never shown.
    """

    base: str
    model: str
    endpoint: Endpoint
    headers: dict[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return self.base + self.endpoint.path


def base_url(url: str) -> str:
    """The server's base from what the user gave, with or without /v1. Raises: InputError."""
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, or too large
        usable = False
    if not usable or parts.query or parts.fragment:
        raise InputError(f"URL {url!r}", "is not the base of a server", "give it as http://127.0.0.1:8000")
    return url.rstrip("/").removesuffix("/v1")


def headers_for(api_key_env: str | None) -> dict[str, str]:
    """Headers of each request; the key comes from the environment, so that no command line shows it."""
    headers = {"Content-Type": "application/json"}
    if api_key_env is not None:
        key = os.environ.get(api_key_env, "")
        if not key:
            raise InputError(f"--api-key-env {api_key_env}", "is not set", f"export {api_key_env}, or leave it out")
        headers["Authorization"] = f"Bearer {key}"
    return headers


async def served_model(session: aiohttp.ClientSession, base: str, headers: dict[str, str]) -> str:
    """The first model that the server lists. Raises: InputError, if it does not answer or lists none."""
    url = f"{base}/v1/models"
    try:
        async with session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=_ASK_TIMEOUT_S)) as response:
            status, text = response.status, await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise InputError(url, f"does not answer ({_reason(error)})", "start the server, or correct the URL") from error
    if status != 200:
        raise InputError(
            url, f"answers with status {status}", "correct the URL or the key, or name the model by --model"
        )
    try:
        return str(orjson.loads(text)["data"][0]["id"])
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as error:
        raise InputError(url, "lists no model", "name it by --model") from error


def why_not_connected(error: aiohttp.ClientConnectorError) -> str:
    """In the system's words, as "Connection refused"."""
    code = error.os_error.errno
    return os.strerror(code) if code is not None and code > 0 else str(error.os_error)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"within {_ASK_TIMEOUT_S:g} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return why_not_connected(error)
    return str(error) or type(error).__name__
