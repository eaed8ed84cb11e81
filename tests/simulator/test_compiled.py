"""The compiled build is the same program: it builds, and a run of it leaves the same bytes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ("simulate", "examples/quickstart.yaml", "--trace", "azure-code-excerpt", "--seed", "3", "--json", "--out")
HOT = "penstock.engine.engine"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the compiled build."""
    if shutil.which("gcc") is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no gcc")
        pytest.skip("needs a C compiler: apt install gcc libc6-dev")
    where = tmp_path_factory.mktemp("compiled") / "venv"
    make = ["make", "compiled", f"COMPILED={where}", f"PYTHON={sys.executable}"]
    built = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    return where / "bin"


def _ran(python: Path, out: Path) -> dict[str, object]:
    command = [str(python), "-m", "penstock.cli.program", *RUN, str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return {name: value for name, value in result.items() if name not in ("wall_s", "requests_per_wall_s")}


@pytest.mark.compiled
@pytest.mark.timeout(1200)
def test_a_compiled_run_leaves_the_same_bytes(compiled: Path, tmp_path: Path) -> None:
    ask = f"import {HOT} as hot; print(hot.__file__)"
    file = subprocess.run([compiled / "python", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert file.stdout.strip().endswith(".so")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert _ran(Path(sys.executable), ours) == _ran(compiled / "python", theirs)
    for name in ("requests.jsonl", "decisions.jsonl"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
        assert (ours / name).stat().st_size > 0
