"""The metrics APIs that the HPA controller reads, for tests: external and resource. They say what a JSON file says.

A key is an external metric's name, or `NAME{SELECTOR}` where it is asked for with a selector of labels; or
`cpu/NAMESPACE/POD`, of which the value is CPUs in use. What is not in the file has no value.

Arguments: CERTIFICATE KEY PORT FILE. Run inside the namespace, behind APIServices (`external_metrics.py`).
"""

import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

CERTIFICATE, KEY, PORT, FILE = sys.argv[1:]
EXTERNAL, RESOURCE = "external.metrics.k8s.io/v1beta1", "metrics.k8s.io/v1beta1"


class Handler(BaseHTTPRequestHandler):
    """Discovery, the values of one external metric, the CPU of a namespace's pods."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One of them."""
        path, _, query = self.path.partition("?")
        values = json.loads(Path(FILE).read_text())
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        words = path.split("/")
        if path in (f"/apis/{EXTERNAL}", f"/apis/{RESOURCE}"):
            group = path.removeprefix("/apis/")
            said = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": []}
        elif path.startswith(f"/apis/{RESOURCE}/namespaces/"):
            namespace = words[-2]
            items = [
                {
                    "metadata": {"name": name.rpartition("/")[2], "namespace": namespace},
                    "timestamp": now,
                    "window": "1s",
                    "containers": [{"name": "main", "usage": {"cpu": f"{round(value * 1e9)}n", "memory": "0"}}],
                }
                for name, value in values.items()
                if name.startswith(f"cpu/{namespace}/")
            ]
            said = {"kind": "PodMetricsList", "apiVersion": RESOURCE, "metadata": {}, "items": items}
        else:
            name, selector = words[-1], parse_qs(query).get("labelSelector", [""])[0]
            asked = f"{name}{{{selector}}}" if selector else name
            item = {"metricName": name, "metricLabels": {}, "timestamp": now, "value": str(values.get(asked))}
            items = [item] if asked in values else []
            said = {"kind": "ExternalMetricValueList", "apiVersion": EXTERNAL, "metadata": {}, "items": items}
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
