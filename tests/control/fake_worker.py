"""A worker as small as can be: /health, one completion, /metrics; SIGTERM ends it. `python fake_worker.py PORT MODE`.

Modes: serve; crash (at once, with last words); deaf (never listens); mute (healthy, but completes nothing);
stubborn (ignores SIGTERM).
"""

import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

METRICS = b"vllm:num_requests_running 2\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.5\n"


class Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(200, METRICS if self.path == "/metrics" else b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(503 if mode == "mute" else 200, b"{}")

    def log_message(self, *_: object) -> None:
        pass


port, mode = int(sys.argv[1]), sys.argv[2]
if mode == "crash":
    sys.exit("no such GPU")
if mode == "deaf":
    time.sleep(60)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
