"""Tokens for a Prometheus that wants one: from a file, or of an Azure workload identity.

Azure Managed Prometheus takes tokens of Microsoft Entra for its own scope. A pod with a workload identity has a token
of its service account in a file, and gets the other for it; the identity needs the role Monitoring Data Reader.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (federated credential)
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import aiohttp
import orjson

from penstock.control.prometheus import PrometheusTrouble, bounded
from penstock.errors import InputError

SCOPE = "https://prometheus.monitor.azure.com/.default"
_EARLY_S = 300.0  # a token is renewed so long before its end
_VARIABLES = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE")
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class FileToken:
    """A file that holds a token, read anew each time: whoever writes it may renew it."""

    def __init__(self, path: Path) -> None:
        """Raises: InputError, if it cannot be read now."""
        self._path = path
        try:
            self._read()
        except PrometheusTrouble as error:
            raise InputError(f"--prometheus-token-file {path}", str(error), "name a file with a token") from error

    async def bearer(self, session: aiohttp.ClientSession) -> str:
        return await asyncio.to_thread(self._read)

    def _read(self) -> str:
        return token_in(self._path)


class AzureToken:
    """The pod's workload identity. Args: clock: seconds, from anywhere."""

    def __init__(self, *, tenant: str, client: str, file: Path, authority: str, clock: Callable[[], float]) -> None:
        self._url = f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token"
        self._client, self._file, self._clock = client, file, clock
        self._token, self._renew_at_s = "", -1.0
        self._renewing = asyncio.Lock()

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ, *, clock: Callable[[], float]) -> Self:
        """As AKS' webhook has set it up in the pod. Raises: InputError."""
        missing = [name for name in _VARIABLES if not environment.get(name)]
        if missing:
            fix = "label the pod azure.workload.identity/use: true, and its service account with the client id"
            raise InputError("--prometheus-identity azure", f"{', '.join(missing)} not set", fix)
        tenant, client, file = (environment[name] for name in _VARIABLES)
        authority = environment.get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com"
        return cls(tenant=tenant, client=client, file=Path(file), authority=authority, clock=clock)

    async def bearer(self, session: aiohttp.ClientSession) -> str:
        async with self._renewing:  # all queries of a look ask at once
            if not self._token or self._clock() >= self._renew_at_s:
                await self._renew(session)
        return self._token

    async def _renew(self, session: aiohttp.ClientSession) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client,
            "scope": SCOPE,
            "client_assertion_type": _ASSERTION,
            "client_assertion": await asyncio.to_thread(token_in, self._file),
        }
        began_s = self._clock()
        async with session.post(self._url, data=form) as response:
            status, body = response.status, await bounded(response)
        try:
            answer = orjson.loads(body)
            self._token, lives_s = str(answer["access_token"]), float(answer["expires_in"])
        except (KeyError, TypeError, ValueError) as error:
            raise PrometheusTrouble(f"Azure gave no token (status {status})") from error
        self._renew_at_s = began_s + max(lives_s - _EARLY_S, lives_s / 2)


def token_in(path: Path) -> str:
    """The token in a file. Raises: PrometheusTrouble, which does not show it."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PrometheusTrouble(f"the token's file cannot be read ({type(error).__name__})") from error
    if not token or not token.isascii() or not token.isprintable():
        raise PrometheusTrouble("the token's file holds no token")
    return token
