"""What a test asks the API server, or anything else in the namespace, in plain dictionaries.

It blocks; each request has a connection of its own.
"""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from namespace import Namespace

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class ApiError(Exception):
    """What the API server refused. `code` is the HTTP status, `reason` the API's word for it."""

    def __init__(self, code: int, status: dict[str, Any]) -> None:
        super().__init__(f"{code} {status.get('reason', '')}: {status.get('message', '')}")
        self.code = code
        self.reason = str(status.get("reason", ""))


class Api:
    """A client with one identity."""

    def __init__(self, namespace: Namespace, port: int, authority: Path, token: str) -> None:
        self._namespace = namespace
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._token = token

    def get(self, path: str) -> dict[str, Any]:
        """Read one object or list. Raises: ApiError."""
        return self.ask("GET", path)

    def items(self, path: str) -> list[dict[str, Any]]:
        """The items of a list."""
        return list(self.get(path)["items"])

    def create(self, path: str, thing: dict[str, Any]) -> dict[str, Any]:
        """POST to a collection. Raises: ApiError."""
        return self.ask("POST", path, thing)

    def patch(self, path: str, change: dict[str, Any]) -> dict[str, Any]:
        """JSON merge patch. Raises: ApiError."""
        return self.ask("PATCH", path, change, MERGE_PATCH)

    def delete(self, path: str, **options: Any) -> dict[str, Any]:
        """DELETE, with DeleteOptions. Raises: ApiError."""
        return self.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Raises: ApiError, OSError."""
        joined = self._namespace.connect("127.0.0.1", self._port, timeout_s=30)
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self._tls.wrap_socket(joined, server_hostname="127.0.0.1")
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.headers.get_content_type() != "application/json":
            return {"code": answer.status, "text": said.decode()}
        parsed = dict(json.loads(said))
        if answer.status >= 400:
            raise ApiError(answer.status, parsed)
        return parsed


def fetch(namespace: Namespace, url: str, timeout_s: float = 10.0) -> tuple[int, str]:
    """GET a plain HTTP address inside. Returns: status and body. Raises: OSError."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.sock = namespace.connect(str(parts.hostname), parts.port or 80, timeout_s)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
