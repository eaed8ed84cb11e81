"""When a worker takes requests, and when it has drained."""

import asyncio

import pytest

from penstock.errors import Overloaded
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role, WorkerState
from penstock.worker import service as service_module
from penstock.worker.pinned_kv import PinnedKv
from penstock.worker.service import WorkerService
from penstock.worker.settings import WorkerSettings


def settings(host: str = "127.0.0.1", start_delay_s: float = 0.0) -> WorkerSettings:
    return WorkerSettings(
        id="w",
        model="m",
        tokenizer="penstock/tiny",
        role=Role.PREFILL,
        engine=EngineSpec(),
        host=host,
        port=1,
        start_delay_s=start_delay_s,
    )


def test_its_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond it is refused, until something has left."""
    monkeypatch.setattr(service_module, "MAX_ACTIVE", 2)
    service = WorkerService(settings())
    service.let_in()
    service.let_in()
    with pytest.raises(Overloaded) as refused:
        service.let_in()
    assert (refused.value.status, refused.value.code) == (503, "queue_full")
    service.let_out()
    service.let_in()


def test_it_has_drained_when_nothing_is_left() -> None:
    """At once, if nothing is here; else with the last answer."""
    idle, busy = WorkerService(settings()), WorkerService(settings())
    idle.drain()
    assert idle.drained.is_set()
    busy.let_in()
    busy.drain()
    assert busy.state is WorkerState.DRAINING
    assert not busy.drained.is_set()
    busy.let_out()
    assert busy.drained.is_set()


def test_draining_while_it_starts_is_over_at_once() -> None:
    """A worker that is no longer wanted before it served does not wait out its delay."""

    async def scenario() -> None:
        service = WorkerService(settings(start_delay_s=100))
        service.start()
        assert service.state is WorkerState.STARTING
        with pytest.raises(Overloaded) as refused:
            service.let_in()
        assert 99 < refused.value.retry_after_s <= 100
        service.drain()
        assert service.drained.is_set()
        await service.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("host", "same"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)])
def test_kv_is_offered_at_an_address_that_others_can_reach(host: str, same: bool) -> None:
    """Where it listens on every address, it names one of them."""
    assert (PinnedKv(settings(host), lambda _: None)._host == host) is same
