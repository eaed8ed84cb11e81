"""Faults against a real `penstock up`: whatever is killed, no request is lost and no process is left."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest
from running_up import Up, running_up, write_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Clients:
    """Four clients in a closed loop, each asking for whole answers, so that every one may be retried."""

    def __init__(self, up: Up) -> None:
        self.up, self.served, self.lost = up, 0, list[str]()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                self.up.complete(max_tokens=30, timeout_s=60)
                self.served += 1
            except (OSError, HTTPException, ValueError) as error:
                self.lost.append(repr(error))
                time.sleep(0.1)

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def cut_off(up: Up) -> None:
    """Ask for more than there will be time for."""
    with pytest.raises((OSError, HTTPException)):
        up.complete(max_tokens=20_000)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with running_up(write_spec(tmp_path, replicas=2)) as up:
        up.until(lambda: up.is_serving() and len(up.workers()) == 2)
        yield up
        code, _ = up.end()
        assert code in (0, 1), up.errors
        assert not up.children()
        assert "Traceback" not in up.errors


def test_kill_9_of_workers_under_load_loses_no_request(up: Up) -> None:
    with Clients(up) as clients:
        for _ in range(5):
            worker, pid = sorted(up.workers().items())[0]
            os.kill(pid, signal.SIGKILL)
            up.until(lambda gone=worker: gone not in up.workers() and len(up.workers()) == 2)
            time.sleep(1)
    assert clients.lost == []
    assert clients.served > 50


def test_all_workers_gone_at_once_are_waited_for(up: Up) -> None:
    with Clients(up) as clients:
        time.sleep(1)
        for pid in up.workers().values():
            os.kill(pid, signal.SIGKILL)
        served = clients.served
        up.until(lambda: clients.served > served + 40)
    assert clients.lost == []


def test_a_worker_that_never_answers_again_is_replaced_and_its_requests_go_elsewhere(up: Up) -> None:
    with Clients(up) as clients:
        time.sleep(1)
        worker, pid = sorted(up.workers().items())[0]
        os.kill(pid, signal.SIGSTOP)
        up.until(lambda: worker not in up.workers() and len(up.workers()) == 2)
        served = clients.served
        up.until(lambda: clients.served > served + 40)
    assert clients.lost == []


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
        up.until(lambda: up.is_serving() and len(up.workers()) == 2)
        up.process.kill()
        deadline = time.monotonic() + 5
        while up.children() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not up.children()


def test_ctrl_c_at_any_time_leaves_no_process(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    for _ in range(10):
        number, after_s = rng.choice((signal.SIGINT, signal.SIGTERM)), rng.uniform(0.0, 2.0)
        with running_up(write_spec(tmp_path, replicas=2)) as up:
            time.sleep(after_s)
            code, _ = up.end(number)
            said = f"seed {seed}, {number.name} after {after_s:.3f} s: code {code}, {up.errors}"
            assert not up.children(), said
            assert code in (0, 128 + number, -number), said  # -number: Python was not up yet
            assert "Traceback" not in up.errors, said


def test_a_second_ctrl_c_kills_at_once(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path)) as up:
        up.until(up.is_serving)
        asking = threading.Thread(target=cut_off, args=(up,))
        asking.start()
        time.sleep(1)
        up.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert up.process.poll() is None, "it lets the request in flight finish"
        began = time.monotonic()
        up.end()
        assert time.monotonic() - began < 3
        assert not up.children()
        asking.join()
