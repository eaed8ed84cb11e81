"""Requests at a steady rate to a gateway in the namespace, from `penstock load`: what became of each is known."""

import json
import subprocess
from typing import Any, Self

from control_plane import ControlPlane
from deployments import PENSTOCK


class Load:
    """From its beginning; what is left of it ends with the block."""

    def __init__(
        self,
        plane: ControlPlane,
        name: str,
        url: str,
        *,
        per_s: float,
        for_s: float,
        input_tokens: int = 200,
        output_tokens: int = 20,
    ) -> None:
        """Begin. Args: name: of its files."""
        self._plane = plane
        self._log = plane.folder / f"load-{name}.log"
        self._for_s, self.offered = for_s, int(per_s * for_s)
        trace = plane.folder / f"{name}.jsonl"
        with trace.open("w") as lines:
            for number in range(self.offered):
                asked = {"arrival_s": number / per_s, "input_tokens": input_tokens, "output_tokens": output_tokens}
                lines.write(json.dumps(asked) + "\n")
        arguments = [*PENSTOCK, "load", url, "--trace", str(trace), "--json"]
        self.process: subprocess.Popen[bytes] = plane.namespace.start(arguments, self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def goes_on(self) -> bool:
        """Whether requests are still to come."""
        return self.process.poll() is None

    def result(self) -> dict[str, Any]:
        """Its `--json`, at its end."""
        self._plane.until(lambda: not self.goes_on, self._for_s + 120)
        said = self._log.read_text()
        result, _ = json.JSONDecoder().raw_decode(said[said.index("{\n") :])
        return dict(result)

    def lost_nothing(self) -> dict[str, Any]:
        """Its result, after each request was answered in full. Fails, if one was not."""
        result = self.result()
        requests = result["requests"]
        assert requests["completed"] == requests["offered"] == self.offered, self._log.read_text()[-2000:]
        return result
