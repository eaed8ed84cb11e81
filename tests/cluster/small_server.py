"""A server for pods of the testbed: tells its name, its version and its process; finishes on SIGTERM.

Arguments: ADDRESS PORT NAME VERSION. `/` answers `NAME VERSION PID`; `/health` 200, or 500 while a file `ill` is in its
directory. Its last lines say when SIGTERM came.
"""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESS, PORT, NAME, VERSION = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        """One request."""
        ill = self.path == "/health" and Path("ill").exists()
        said = f"{NAME} {VERSION} {os.getpid()}".encode()
        self.send_response(500 if ill else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def end(*_: object) -> None:
    """Go."""
    os._exit(0)


signal.signal(signal.SIGTERM, end)
ThreadingHTTPServer((ADDRESS, int(PORT)), Handler).serve_forever()
