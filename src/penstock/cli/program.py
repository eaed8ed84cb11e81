"""The `penstock` program: `main`, behind a Ctrl-C that ends it quietly from the first line on.

Loading the command line takes a tenth of a second, and Python answers a Ctrl-C in the midst of an import with its
traceback. Until everything is loaded the signal therefore ends the process by itself, which has no child yet.
"""

import signal


def run() -> None:
    """Load the command line and run it; then exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody wants it ignored, as `nohup` does
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `main` has the subcommand
    from penstock.cli.main import main

    main()


if __name__ == "__main__":
    run()
