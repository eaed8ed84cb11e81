"""Keeps Secret, configuration and the certificate that is shown in step, in each replica by itself.

The Secret is the one truth: whoever finds it missing or about to end makes it anew, and of two who do so at once the
second is told of the conflict and reads what the first wrote. Then the configuration is told whom to trust, and only
then the certificate is shown, so that at no time one is shown that is not trusted.
"""

import asyncio
import base64
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from penstock.kubernetes.kinds import cluster_kind_of, kind_of
from penstock.operator.webhook.certificates import Certificates, due, made
from penstock.operator.webhook.objects import CONFIGURATION, SECRET, server_names

log = logging.getLogger(__name__)

LOOK_S = 60.0
RETRY_S = 5.0
_SECRET = kind_of("v1", "Secret")
_CONFIGURATION = cluster_kind_of("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
_FIELDS = {"authorities": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}


class Trust:
    """What the webhook shows, and who trusts it.

    Args:
        namespace: of the operator, where the Secret lies.
        clock: now, with its time zone.
    """

    def __init__(self, client: AsyncClient, namespace: str, *, clock: Callable[[], datetime]) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.shown = asyncio.Event()
        self._client, self._namespace, self._clock = client, namespace, clock
        self._certificates: Certificates | None = None

    async def keep(self) -> None:
        """For ever."""
        while True:
            wait_s = LOOK_S
            try:
                await self._look()
            except (ApiError, httpx2.HTTPError, OSError) as error:
                said = error.status.message if isinstance(error, ApiError) else type(error).__name__
                log.warning("certificate of the webhook: %s; again in %g s", said, RETRY_S)
                wait_s = RETRY_S
            await asyncio.sleep(wait_s)

    async def _look(self) -> None:
        held = await self._held()
        await self._tell(held)
        if held != self._certificates:
            _show(self.context, held)
            self._certificates = held
            self.shown.set()

    async def _held(self) -> Certificates:
        """What the Secret has, made anew where that is due. Raises: ApiError, 409, where another was faster."""
        names = server_names(self._namespace)
        try:
            secret: dict[str, Any] | None = dict(await self._client.get(_SECRET, SECRET, namespace=self._namespace))
        except ApiError as error:
            if error.status.code != 404:
                raise
            secret = None
        held = _read(secret) if secret is not None else None
        if held is not None and not due(held, names, self._clock()):
            return held
        fresh = made(names, self._clock(), before=held)
        data = {field: base64.b64encode(getattr(fresh, name)).decode() for name, field in _FIELDS.items()}
        if secret is None:
            meta = {"name": SECRET, "namespace": self._namespace}
            body = {"metadata": meta, "type": "kubernetes.io/tls", "data": data}
            await self._client.create(_SECRET.from_dict(body))
        else:
            await self._client.replace(_SECRET.from_dict(secret | {"data": data}))
        log.info("made the certificate of the webhook, for %s", names[0])
        return fresh

    async def _tell(self, held: Certificates) -> None:
        """Whom to trust. Without a configuration nothing is asked, which the log says."""
        try:
            found = await self._client.get(_CONFIGURATION, CONFIGURATION)
        except ApiError as error:
            if error.status.code != 404:
                raise
            log.warning("no ValidatingWebhookConfiguration %s: nobody asks the webhook", CONFIGURATION)
            return
        bundle = base64.b64encode(held.authorities).decode()
        steps = [
            {"op": "add", "path": f"/webhooks/{place}/clientConfig/caBundle", "value": bundle}
            for place, hook in enumerate(found["webhooks"])
            if hook["clientConfig"].get("caBundle") != bundle
        ]
        if steps:
            # The list may have changed since: the test makes the API server refuse the patch then.
            version = found["metadata"]["resourceVersion"]
            same = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
            await self._client.patch(_CONFIGURATION, CONFIGURATION, [same, *steps], patch_type=PatchType.JSON)


def _read(secret: Mapping[str, Any]) -> Certificates | None:
    """None, if something is missing; whatever is wrong with the rest, `due` sees."""
    data = secret.get("data") or {}
    try:
        return Certificates(**{name: base64.b64decode(data[field]) for name, field in _FIELDS.items()})
    except (KeyError, ValueError):
        return None


def _show(context: ssl.SSLContext, held: Certificates) -> None:
    """From the next handshake on. Python reads certificates from files only, and a pod's files are read-only."""
    file = os.memfd_create("webhook")
    try:
        os.write(file, held.certificate + held.key)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
