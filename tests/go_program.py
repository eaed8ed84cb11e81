"""Builds a test's Go program, once, outside the tree; it needs Go, and its modules from the network.

Without Go, or where its modules cannot be had, a test that needs it is skipped with the reason; where CI is `true` that
is a failure. A program that does not build is a failure anywhere. Run as a program, it builds all of the modules that
it is given, for who wants them before a test does.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def go_program(source: Path, package: str = ".") -> Path:
    """A program of one module: a test binary if it has tests, else a command. The first build takes minutes.

    Args:
        source: the module's directory; files only, no packages below it. A file `ldflags` has flags for
            the linker, a file `tags` build tags.
        package: the command's, if it is one of a module that this one requires as a tool.
    """
    go = shutil.which("go")
    if go is None:
        unavailable("needs Go: install it (go.dev/dl), so that `go version` works")
    name = source.name if package == "." else package.rpartition("/")[2]
    binary = _cache() / f"{source.parent.parent.name}-{name}-{_key(source, go, package)}"
    with open(binary.with_suffix(".lock"), "w") as lock:  # another test process may be at it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            fetched = _run(go, source, "mod", "download")
            if fetched.returncode:
                unavailable(f"cannot fetch the Go modules of {source}: {fetched.stderr.strip()[-300:]}")
            fresh = binary.with_suffix(".new")
            verb = ("test", "-c") if list(source.glob("*_test.go")) else ("build",)
            own_flags = source / "ldflags"
            flags = f"-s -w {own_flags.read_text() if own_flags.exists() else ''}"
            tags = source / "tags"
            chosen = ("-tags", tags.read_text().strip()) if tags.exists() else ()
            made = _run(go, source, *verb, *chosen, "-ldflags", flags, "-o", str(fresh), package)
            assert made.returncode == 0, f"{source} does not build:\n{made.stderr[-3000:]}"
            fresh.replace(binary)
    return binary


def module_folder(source: Path, module: str) -> Path:
    """Where the source of a module is that this one requires; after its program was built."""
    go = shutil.which("go")
    assert go
    return Path(_run(go, source, "list", "-m", "-f", "{{.Dir}}", module).stdout.strip())


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


def _key(source: Path, go: str, package: str) -> str:
    """Whatever the program is made of: its modules' sums, its own source, the package, the Go that compiles it."""
    version = subprocess.run([go, "version"], capture_output=True, check=True).stdout
    key = hashlib.sha256(version + package.encode())
    for path in sorted(source.iterdir()):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    return key.hexdigest()[:16]


def _packages(source: Path) -> list[str]:
    """Commands of a module: its own, or, if it has no source, the tools that it requires."""
    if list(source.glob("*.go")):
        return ["."]
    return (source / "go.mod").read_text().partition("tool (")[2].partition(")")[0].split()


if __name__ == "__main__":
    for module in map(Path, sys.argv[1:]):
        for command in _packages(module):
            go_program(module.resolve(), command)
