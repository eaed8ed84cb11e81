"""The webhook's certificate, and its server over real TLS."""

import asyncio
import io
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from penstock.errors import InputError
from penstock.operator.webhook.certificates import LASTS, RENEW_BEFORE, due, made
from penstock.operator.webhook.objects import PATH, server_names, webhook_objects
from penstock.operator.webhook.server import MAX_BYTES, listener, serve
from penstock.operator.webhook.trust import _show

NAMES = server_names("penstock")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_certificate_is_renewed_before_it_ends_and_when_it_no_longer_fits() -> None:
    held = made(NAMES, NOW)
    assert not due(held, NAMES, NOW)
    assert not due(held, NAMES, NOW + LASTS - RENEW_BEFORE - timedelta(hours=1))
    assert due(held, NAMES, NOW + LASTS - RENEW_BEFORE + timedelta(hours=1))
    assert due(held, server_names("elsewhere"), NOW)
    other = made(NAMES, NOW)
    for part in ("authorities", "certificate"):
        fields = {name: getattr(held, name) for name in ("authorities", "certificate", "key")}
        assert due(type(held)(**fields | {part: b"rubbish"}), NAMES, NOW)
    mixed = type(held)(authorities=other.authorities, certificate=held.certificate, key=held.key)
    assert due(mixed, NAMES, NOW)


def test_who_trusts_is_given_the_authorities_before_while_they_are_valid() -> None:
    """Replicas renew at different instants: each one's certificate is trusted by all that is told."""
    first = made(NAMES, NOW)
    second = made(NAMES, NOW + timedelta(days=60), before=first)
    third = made(NAMES, NOW + timedelta(days=120), before=second)
    assert [one.authorities.count(b"BEGIN CERTIFICATE") for one in (first, second, third)] == [1, 2, 2]
    assert first.authorities in second.authorities
    assert first.authorities not in third.authorities


async def _answers(review: Any, body: bytes, *, trusted: bytes, shown: Any) -> tuple[int, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _show(context, shown)
    listening = listener(0)
    port = listening.getsockname()[1]
    serving = asyncio.create_task(serve(review, context, listening))
    client = ssl.create_default_context(cadata=trusted.decode())
    try:
        for _ in range(500):  # until it listens
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            await asyncio.sleep(0.01)
        async with aiohttp.ClientSession() as session:
            url = f"https://127.0.0.1:{port}{PATH}"
            async with session.post(url, data=io.BytesIO(body), ssl=client, server_hostname=NAMES[0]) as answer:
                return answer.status, await answer.json() if answer.status == 200 else await answer.text()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def test_a_refusal_is_answered_over_tls_that_the_told_authorities_vouch_for() -> None:
    now = datetime.now(UTC)
    old = made(NAMES, now)
    new = made(NAMES, now, before=old)
    body = b'{"request": {"uid": "7", "name": "x"}}'

    def refuse(request: Mapping[str, Any]) -> str:
        return f"not {request['name']}"

    for shown in (old, new):
        status, said = asyncio.run(_answers(refuse, body, trusted=new.authorities, shown=shown))
        assert status == 200
        assert said["response"] == {
            "uid": "7",
            "allowed": False,
            "status": {"code": 403, "reason": "Forbidden", "message": "not x"},
        }
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        asyncio.run(_answers(refuse, body, trusted=made(NAMES, now).authorities, shown=old))


def test_what_is_not_understood_is_let_through_and_what_is_no_review_is_told() -> None:
    held = made(NAMES, datetime.now(UTC))

    def fails(_: Mapping[str, Any]) -> str:
        raise KeyError("odd")

    status, said = asyncio.run(_answers(fails, b'{"request": {"uid": "1"}}', trusted=held.authorities, shown=held))
    assert (status, said["response"]) == (200, {"uid": "1", "allowed": True})
    for body, code in ((b"{", 400), (b"[]", 400), (b" " * (MAX_BYTES + 1), 413)):
        assert asyncio.run(_answers(fails, body, trusted=held.authorities, shown=held))[0] == code


def test_a_taken_port_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--webhook-port {port}: cannot listen there"):
            listener(port)


def test_nothing_waits_for_a_webhook_that_is_away() -> None:
    """Penstock's outage must not keep anybody from scaling."""
    _, configuration = webhook_objects("penstock", 9443, {})
    for hook in configuration["webhooks"]:
        assert hook["failurePolicy"] == "Ignore"
        assert hook["timeoutSeconds"] <= 5
        assert hook["sideEffects"] == "None"
