"""The directory of one run: which workers are ready (for the gateway), sockets of KV events, logs of children.

Only its owner may enter (mode 0700). The path is short, because a Unix socket's may not pass 107 bytes.
`workers.json` is replaced in one step, so that a reader never sees half of it. What a killed run
left behind, the next one removes.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from penstock.messages.spec import InferenceDeployment
from penstock.messages.worker import WorkerRecord

_PREFIX = "penstock-"


class RunDirectory:
    """Made when the run begins, removed when it ends."""

    def __init__(self) -> None:
        base = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir())  # TMPDIR may be a long path
        _remove_those_of_the_dead(base)
        self.path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))

    @property
    def workers_file(self) -> Path:
        """The ready workers; the gateway watches it."""
        return self.path / "workers.json"

    @property
    def spec_file(self) -> Path:
        """The deployment as it was parsed: what the user's file says later does not matter to this run."""
        return self.path / "deployment.json"

    def keep_spec(self, deployment: InferenceDeployment) -> None:
        """Write the deployment down, for the workers."""
        self.spec_file.write_text(deployment.model_dump_json(by_alias=True, exclude_none=True))

    def endpoint(self, worker: str, kind: str) -> str:
        """A ZMQ endpoint of a worker."""
        return f"ipc://{self.path}/{worker}.{kind}"

    def publish(self, workers: Iterable[WorkerRecord]) -> None:
        """Make the ready workers known."""
        half = self.workers_file.with_suffix(".half")
        half.write_bytes(orjson.dumps([worker_document(worker) for worker in workers]))
        os.replace(half, self.workers_file)

    def forget(self, worker: str) -> None:
        """Remove the sockets of a worker that is gone; its log stays until the end."""
        for kind in ("kv", "replay"):
            with contextlib.suppress(OSError):  # one that stays goes with the directory
                (self.path / f"{worker}.{kind}").unlink()

    def remove(self) -> None:
        """The run is over."""
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_those_of_the_dead(base: Path) -> None:
    """Directories of this user whose process is gone. A process id given again only keeps one a while longer."""
    for path in base.glob(f"{_PREFIX}[0-9]*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and path.lstat().st_uid == os.getuid() and path.is_dir() and not path.is_symlink():
                try:
                    os.kill(int(pid), 0)
                except ProcessLookupError:
                    shutil.rmtree(path, ignore_errors=True)


def worker_document(worker: WorkerRecord) -> dict[str, Any]:
    """A record as plain JSON, with the engine's fields by our own names."""
    engine = worker.engine.model_dump(mode="json") if worker.engine is not None else None
    return {**{name: value for name, value in asdict(worker).items() if name != "engine"}, "engine": engine}
