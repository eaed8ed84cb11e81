"""The command line as a user meets it: help, versions, and one line for every mistake."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import __version__
from penstock.cli.main import COMMANDS, main

GOOD_SPEC = Path(__file__).parents[2] / "examples" / "aggregated.yaml"


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def penstock(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli.program", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_the_version_is_told() -> None:
    done = penstock("--version")
    assert (done.returncode, done.stdout) == (0, f"penstock {__version__}\n")


def test_help_lists_every_command() -> None:
    done = penstock("--help")
    assert done.returncode == 0
    assert [name for name in COMMANDS if f" {name} " not in done.stdout] == []


def test_without_a_command_the_help_is_shown() -> None:
    assert penstock().stdout == penstock("--help").stdout


BROKEN_SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: broken}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components: [{name: w, role: worker, autoscaling: {by: planner, min: 3, max: 2}}]
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["upp"], "Did you mean 'up'?"),
        (["up"], "Missing argument"),
        (["up", "no-such-file.yaml"], "no-such-file.yaml: cannot be read (No such file or directory)"),
        (["up", "{broken}"], "spec.components[0].autoscaling: min 3 > max 2; set min <= max"),
        (["up", "{tmp}"], "Is a directory"),
        (["up", "{binary}"], "not UTF-8 text"),
        (["up", "{broken}", "--port", "99999"], "--port"),
        (["up", "{broken}", "--prot", "1"], "No such option"),
        (["explain", "{tmp}/nothing.jsonl"], "nothing.jsonl: cannot be read"),
        (["explain", "{broken}"], "line 2: not JSON"),
        (["planner", "{broken}"], "min 3 > max 2"),
        (["planner", "{good}"], "neither is given"),
        (["planner", "{good}", "--gateway", "localhost"], "--gateway: not a URL"),
        (["planner", "{good}", "--gateway", "http://x", "--worker", "y=http://z"], "no such component"),
        (["planner", "{good}", "--replay", "{tmp}/none"], "cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN_SPEC)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    places = {"broken": tmp_path / "broken.yaml", "tmp": tmp_path, "binary": tmp_path / "binary", "good": GOOD_SPEC}
    with pytest.raises(SystemExit) as ended:
        main([argument.format(**places) for argument in arguments])
    told = capsys.readouterr()
    assert ended.value.code == 2, told.err
    assert told.out == ""
    assert told.err.count("\n") == 1, told.err
    assert told.err.startswith("penstock: ")
    assert says in told.err


def test_the_reader_of_our_output_may_leave() -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.program", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    program.stdout.close()
    _, errors = program.communicate()
    assert b"Traceback" not in errors


def test_a_worker_loads_neither_the_control_loop_nor_the_page() -> None:
    program = (
        "import sys; from penstock.cli.main import build; build(['worker']); "
        "print([m for m in sys.modules if m.startswith(('penstock.control', 'penstock.gateway', 'plotly'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
