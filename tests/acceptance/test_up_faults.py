"""Faults against a real `penstock up`: whatever is killed, no request is lost and no process is left."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import Clients, asking

from running_up import Up, running_up, write_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with running_up(write_spec(tmp_path, replicas=2)) as up:
        up.until(lambda: up.serves_with(2))
        yield up
        code, _ = up.end()
        assert code in (0, 1), up.errors
        assert not up.children()
        assert "Traceback" not in up.errors


def test_all_workers_gone_at_once_are_waited_for(up: Up) -> None:
    with asking(Clients(up.url, streams=0)) as clients:
        time.sleep(1)
        for pid in up.workers().values():
            os.kill(pid, signal.SIGKILL)
        served = clients.served
        up.until(lambda: clients.served > served + 40)
    assert clients.lost == {}


def test_a_worker_that_never_answers_again_is_replaced_and_its_requests_go_elsewhere(up: Up) -> None:
    with asking(Clients(up.url, streams=0)) as clients:
        time.sleep(1)
        worker, pid = sorted(up.workers().items())[0]
        os.kill(pid, signal.SIGSTOP)
        up.until(lambda: worker not in up.workers() and len(up.workers()) == 2)
        served = clients.served
        up.until(lambda: clients.served > served + 40)
    assert clients.lost == {}


def test_the_gateway_is_started_again_on_its_port(up: Up) -> None:
    url = up.url
    os.kill(up.gateway(), signal.SIGKILL)
    up.until(lambda: not up.is_serving())
    up.until(up.is_serving)
    assert up.url == url
    assert up.complete()["usage"]["completion_tokens"] == 4
    assert up.metrics()['penstock_worker_deaths_total{component="frontend"}'] == 1


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path, replicas=2)) as up:
        up.until(lambda: up.serves_with(2))
        up.process.kill()
        deadline = time.monotonic() + 5
        while up.children() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not up.children()
