"""The directory of a run: private, short, whole at every moment, and gone afterwards."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import orjson

from penstock.control.run_directory import RunDirectory
from penstock.gateway.discovery import parse_records
from penstock.messages.engine_spec import EngineSpec, StepTimeSpec
from penstock.messages.worker import Role, WorkerRecord


def record(number: int) -> WorkerRecord:
    engine = EngineSpec(kv_blocks=1000 + number, step_time=StepTimeSpec(base_s=0.003))
    return WorkerRecord(
        id=f"w-{number}", url=f"http://127.0.0.1:{9000 + number}", component="w", role=Role.WORKER, engine=engine
    )


def test_what_is_published_is_what_the_gateway_reads() -> None:
    run = RunDirectory()
    try:
        run.publish([record(1), record(2)])
        assert parse_records(run.workers_file.read_bytes()) == (record(1), record(2))
    finally:
        run.remove()


def test_a_reader_never_sees_half_a_list() -> None:
    run, over = RunDirectory(), threading.Event()
    run.publish([])
    sizes: set[int] = set()

    def read() -> None:
        while not over.is_set():
            sizes.add(len(orjson.loads(run.workers_file.read_bytes())))

    reader = threading.Thread(target=read)
    reader.start()
    for count in range(200):
        run.publish(record(number) for number in range(count % 2 * 40))
    over.set()
    reader.join()
    run.remove()
    assert sizes <= {0, 40}


def test_only_its_owner_may_enter_and_its_sockets_paths_are_short() -> None:
    run = RunDirectory()
    assert run.path.stat().st_mode & 0o777 == 0o700
    longest = run.endpoint("x" * 63 + "-10000", "replay").removeprefix("ipc://")
    assert len(longest) + len("4194304") - len(str(os.getpid())) <= 107
    run.remove()
    assert not run.path.exists()


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_lives_is_kept() -> None:
    program = "from penstock.control.run_directory import RunDirectory; print(RunDirectory().path)"
    left = Path(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    )
    assert left.is_dir()
    first = RunDirectory()
    second = RunDirectory()
    assert not left.exists()
    assert first.path.is_dir()
    assert str(os.getpid()) in second.path.name
    first.remove()
    second.remove()
