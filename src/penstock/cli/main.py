"""`penstock`: picks the subcommand, loads only its file, and turns every expected error into one line.

Exit codes: 0 fine; 1 it ran and the answer is bad; 2 the input or usage is wrong; 130 and 143 for Ctrl-C and SIGTERM
where a command does not end on them by itself. A worker's start-up counts towards scaling, so only the files of the
subcommand at hand are imported.
"""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from penstock import __version__
from penstock.cli.tether import tether_to_parent
from penstock.errors import InputError, PenstockError

# Subcommand: file and name in it (a function, or a Typer of its own for a group of commands).
COMMANDS = {
    "up": "penstock.cli.up:up",
    "demo": "penstock.cli.demo:demo",
    "load": "penstock.cli.load:load",
    "simulate": "penstock.cli.simulate:simulate",
    "compare": "penstock.cli.compare:compare",
    "recommend": "penstock.cli.recommend:recommend",
    "explain": "penstock.cli.explain:explain",
    "trace": "penstock.cli.trace:trace",
    "profile": "penstock.cli.profile:profile",
    "operator": "penstock.cli.operator:operator",
    "render": "penstock.cli.render:render",
    "schema": "penstock.cli.schema:schema",
    "gateway": "penstock.cli.gateway:gateway",
    "worker": "penstock.cli.worker:worker",
    "planner": "penstock.cli.planner:planner",
}
SERVERS = ("up", "gateway", "worker", "planner")  # they have handlers of their own before they have children


def build(names: Sequence[str]) -> typer.Typer:
    """The application with these subcommands."""
    app = typer.Typer(
        name="penstock",
        help="Serve large language models within their latency targets, at the least GPU cost.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def penstock(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", callback=_tell_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    for name in names:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"penstock {__version__}")
        raise typer.Exit


def main(args: Sequence[str] | None = None) -> None:
    """Run one subcommand and exit."""
    tether_to_parent()
    given = sys.argv[1:] if args is None else list(args)
    sys.exit(_run(given))


def _run(args: list[str]) -> int:
    wanted = next((arg for arg in args if not arg.startswith("-")), None)
    try:
        app = build([wanted] if wanted in COMMANDS else list(COMMANDS))
        if wanted not in SERVERS:
            _raise_on_signals()
        return int(app(args or ["--help"], prog_name="penstock", standalone_mode=False) or 0)
    except InputError as error:
        return _complain(str(error), 2)
    except PenstockError as error:
        return _complain(str(error), 1)
    except TyperException as error:
        return _complain(f"{error.format_message().rstrip('.')}; see {_help_command(error)}", error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left, as `| head` does
        return 1


def _complain(message: str, code: int) -> int:
    print(f"penstock: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return code


def _help_command(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'penstock'} --help"


def _raise_on_signals() -> None:
    """Ctrl-C and SIGTERM unwind the command, children included. A server hears them itself, once it has begun any.

    Not before everything is loaded: what is raised in the midst of an import may be swallowed there, and never come
    again.
    """
    signal.signal(signal.SIGTERM, _end_on_sigterm)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see `program`
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_on_sigterm(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
