"""An external metrics API for tests: it says what a JSON file says, metric to value.

A metric is its name, or `NAME{SELECTOR}` where it is asked for with a selector of labels. What is not in the file has
no value.

Arguments: CERTIFICATE KEY PORT FILE. Run inside the namespace, behind an APIService (`external_metrics.py`).
"""

import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

CERTIFICATE, KEY, PORT, FILE = sys.argv[1:]
GROUP = "external.metrics.k8s.io/v1beta1"


class Handler(BaseHTTPRequestHandler):
    """The two documents of the API that the HPA controller reads."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Discovery, or the values of one metric."""
        path, _, query = self.path.partition("?")
        if path == f"/apis/{GROUP}":
            said = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": []}
        else:
            name = path.rpartition("/")[2]
            values = json.loads(Path(FILE).read_text())
            selector = parse_qs(query).get("labelSelector", [""])[0]
            asked = f"{name}{{{selector}}}" if selector else name
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            item = {"metricName": name, "metricLabels": {}, "timestamp": now, "value": str(values.get(asked))}
            items = [item] if asked in values else []
            said = {"kind": "ExternalMetricValueList", "apiVersion": GROUP, "metadata": {}, "items": items}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(CERTIFICATE, KEY)
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
