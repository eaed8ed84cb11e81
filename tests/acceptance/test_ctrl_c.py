"""Ctrl-C and SIGTERM at any time: `penstock up` ends in order, finishes what it can, and leaves no process."""

import random
import signal
import time
from pathlib import Path

import pytest
from clients import Clients, asking

from running_up import Up, read_metrics, running_up, write_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Two workers at first, one after four seconds of too few requests for two.
SCALES_IN = (
    "{by: hpa, min: 1, max: 2, syncPeriodSeconds: 1, metrics: [{metric: in_flight_requests, target: 16}], "
    "behavior: {scaleDown: {stabilizationWindowSeconds: 4}}}"
)
LONG_TOKENS = 20_000  # more than there will be time for


def ends_clean(up: Up, number: signal.Signals, *, within_s: float = 20.0) -> None:
    """Send the signal; it ends well and leaves nobody."""
    code, _ = up.end(number, within_s)
    said = f"{number.name}: code {code}, {up.errors}"
    assert not up.children(), said
    if "Traceback" in up.errors:  # only Python's own, of its first moments, before any line of ours
        assert "penstock" not in up.errors, said
        return
    assert code in (0, 128 + number, -number), said  # -number: before our handlers were there


def test_at_any_moment_of_the_start(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    for _ in range(10):
        number, after_s = rng.choice((signal.SIGINT, signal.SIGTERM)), rng.uniform(0.0, 2.0)
        with running_up(write_spec(tmp_path, replicas=2)) as up:
            time.sleep(after_s)
            try:
                ends_clean(up, number)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, after {after_s:.3f} s: {error}") from error


def test_during_a_cold_start_for_which_requests_are_held(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path, replicas=2, cold_s=30)) as up:
        up.until(lambda: len(up.children()) == 3)
        with asking(Clients(up.url)):
            up.until(lambda: held(up) == 8)
            ends_clean(up, signal.SIGTERM, within_s=10)


def test_under_load_what_is_in_flight_is_finished(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path, replicas=2)) as up:
        up.until(lambda: up.serves_with(2))
        with asking(Clients(up.url, max_tokens=200, stream_tokens=200)) as clients:
            up.until(lambda: clients.served > 8)
            begun = clients.pending
            time.sleep(0.1)  # those begun have reached the gateway
            begun &= clients.pending
            ends_clean(up, signal.SIGINT)
    assert begun
    assert not begun & clients.lost.keys(), clients.lost


def test_while_a_worker_drains(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path, replicas=2, scaling=SCALES_IN)) as up:
        up.until(lambda: up.serves_with(2))
        with asking(Clients(up.url, max_tokens=LONG_TOKENS, stream_tokens=LONG_TOKENS)):
            up.until(lambda: ": draining" in up.errors)
            time.sleep(0.5)
            assert len(up.workers()) == 2, "it has requests to finish"
            ends_clean(up, signal.SIGINT)


def test_a_second_time_kills_at_once(tmp_path: Path) -> None:
    with running_up(write_spec(tmp_path)) as up:
        up.until(up.is_serving)
        with asking(Clients(up.url, max_tokens=LONG_TOKENS, whole=1, streams=0)):
            time.sleep(1)
            up.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert up.process.poll() is None, "it lets the request in flight finish"
            began_s = time.monotonic()
            ends_clean(up, signal.SIGINT)
            assert time.monotonic() - began_s < 3


def held(up: Up) -> float:
    """Requests that wait at the gateway for a worker; 0 until it answers."""
    try:
        return read_metrics(up.url)["penstock_gateway_held_requests"]
    except OSError:
        return 0
