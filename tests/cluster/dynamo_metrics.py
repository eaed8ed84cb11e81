"""Says what one of Dynamo's processes says at /metrics. Arguments: ADDRESS PORT frontend|worker.

A frontend has had six requests a second since it was first asked, for twenty seconds, and then one in five seconds;
each with 300 tokens of prompt and 20 of answer, in time. A worker is moderately busy.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS, PORT, PART = sys.argv[1:]
BUSY_S, BUSY_RATE, CALM_RATE = 20.0, 6.0, 0.2
_first_asked: list[float] = []


def histogram(name: str, count: int, value: float) -> list[str]:
    """All observations of one value."""
    edges = (0.01, 0.05, 0.5, 25, 500)
    said = [f'{name}_bucket{{le="{edge}"}} {count if value <= edge else 0}' for edge in edges]
    return [*said, f'{name}_bucket{{le="+Inf"}} {count}', f"{name}_sum {count * value}", f"{name}_count {count}"]


def frontend() -> list[str]:
    """Counters and histograms."""
    if not _first_asked:
        _first_asked.append(time.monotonic())
    since_s = time.monotonic() - _first_asked[0]
    started = int(BUSY_RATE * min(since_s, BUSY_S) + CALM_RATE * max(0.0, since_s - BUSY_S))
    name = "dynamo_frontend"
    return [
        f'{name}_requests_started_total{{model="m"}} {started}',
        f"{name}_router_queue_pending_requests 0",
        *histogram(f"{name}_input_sequence_tokens", started, 300),
        *histogram(f"{name}_cached_tokens", started, 0),
        *histogram(f"{name}_output_sequence_tokens", started, 20),
        *histogram(f"{name}_time_to_first_token_seconds", started, 0.2),
        *histogram(f"{name}_inter_token_latency_seconds", 19 * started, 0.03),
    ]


def worker() -> list[str]:
    """Its own gauge and the engine's, which it passes on."""
    return [
        "dynamo_component_gpu_cache_usage_percent 0.1",
        "vllm:num_requests_running 1",
        "vllm:num_requests_waiting 0",
        "vllm:kv_cache_usage_perc 0.1",
    ]


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    def do_GET(self) -> None:
        """One request, whatever its path."""
        said = ("\n".join(frontend() if PART == "frontend" else worker()) + "\n").encode()
        if self.path != "/metrics":
            said = b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


ThreadingHTTPServer((ADDRESS, int(PORT)), Handler).serve_forever()
