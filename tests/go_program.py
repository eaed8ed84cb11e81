"""Builds a test's Go program, once, outside the tree; it needs Go, and its modules from the network.

Without Go, or where its modules cannot be had, a test that needs it is skipped with the reason; where CI is `true` that
is a failure. A program that does not build is a failure anywhere.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

NO_STAMPS: Mapping[str, str] = {}


def go_program(source: Path, stamps: Mapping[str, str] = NO_STAMPS, *, package: str = ".") -> Path:
    """A program of one module: a test binary if it has tests, else a command. The first build takes minutes.

    Args:
        source: the module's directory; files only, no packages below it.
        stamps: variables of the program, by package and name, to what the linker is to put in them.
        package: the command's, if it is one of a module that this one requires.
    """
    go = shutil.which("go")
    if go is None:
        unavailable("needs Go: install it (go.dev/dl), so that `go version` works")
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in sorted(stamps.items()))])
    name = source.name if package == "." else package.rpartition("/")[2]
    binary = _cache() / f"{source.parent.parent.name}-{name}-{_key(source, go, flags, package)}"
    with open(binary.with_suffix(".lock"), "w") as lock:  # another test process may be at it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            fetched = _run(go, source, "mod", "download")
            if fetched.returncode:
                unavailable(f"cannot fetch the Go modules of {source}: {fetched.stderr.strip()[-300:]}")
            fresh = binary.with_suffix(".new")
            verb = ("test", "-c") if list(source.glob("*_test.go")) else ("build",)
            made = _run(go, source, *verb, "-ldflags", flags, "-o", str(fresh), package)
            assert made.returncode == 0, f"{source} does not build:\n{made.stderr[-3000:]}"
            fresh.replace(binary)
    return binary


def unavailable(reason: str) -> NoReturn:
    """Skip; fail where CI is true, because there the part has to be."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _run(go: str, source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Go behind everything else; go.sum is checked, never changed. Without cgo: no C compiler is needed."""
    own = {"GOMAXPROCS": "1", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "CGO_ENABLED": "0"}
    return subprocess.run(
        ["nice", "-n", "15", go, *arguments],
        cwd=source,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock" / "go"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _key(source: Path, go: str, flags: str, package: str) -> str:
    """Whatever the program is made of: its modules' sums, its source and package, the Go, the linker's flags."""
    version = subprocess.run([go, "version"], capture_output=True, check=True).stdout
    key = hashlib.sha256(b"\0".join((version, flags.encode(), package.encode())))
    for path in sorted(source.iterdir()):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    return key.hexdigest()[:16]
