"""What a probe or a hook asks of a container, and when the thresholds of a probe are crossed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ConfigError(ValueError):
    """The pod asks for what cannot be had; the text goes to its status."""


@dataclass(frozen=True, slots=True)
class HttpGet:
    """Passes with a status of 200 to 399."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """Passes if it connects."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Exec:
    """Passes with exit code 0; has the container's environment."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A hook that only waits."""

    seconds: float


Action = HttpGet | TcpSocket | Exec | Sleep


@dataclass(frozen=True, slots=True)
class Probe:
    """Defaults are the API's."""

    action: Action
    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_s: float | None = None


class ProbeCount:
    """Runs of equal results; a verdict is given when a run reaches its threshold."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._last: bool | None = None
        self._run = 0

    def count(self, passed: bool) -> bool | None:
        """One result. Returns: whether the container is well, or None if this says nothing yet."""
        self._run = self._run + 1 if passed == self._last else 1
        self._last = passed
        needed = self._probe.success_threshold if passed else self._probe.failure_threshold
        return passed if self._run >= needed else None


def parse_action(given: Mapping[str, Any], ports: Mapping[str, int], pod_ip: str) -> Action:
    """A probe's or a hook's action. Raises: ConfigError."""
    if "exec" in given:
        return Exec(tuple(given["exec"]["command"]))
    if "httpGet" in given:
        get = given["httpGet"]
        if get.get("scheme", "HTTP") != "HTTP":
            raise ConfigError("httpGet by HTTPS is not supported here")
        path = get.get("path", "/")
        url = f"http://{get.get('host') or pod_ip}:{_port(get['port'], ports)}/{path.removeprefix('/')}"
        return HttpGet(url, tuple((header["name"], header["value"]) for header in get.get("httpHeaders", ())))
    if "tcpSocket" in given:
        return TcpSocket(given["tcpSocket"].get("host") or pod_ip, _port(given["tcpSocket"]["port"], ports))
    if "sleep" in given:
        return Sleep(float(given["sleep"]["seconds"]))
    raise ConfigError(f"not supported here: an action of {', '.join(sorted(given)) or 'nothing'}")


def parse_probe(given: Mapping[str, Any] | None, ports: Mapping[str, int], pod_ip: str) -> Probe | None:
    """A probe as the pod has it. Raises: ConfigError."""
    if given is None:
        return None
    kinds = ("exec", "httpGet", "tcpSocket", "grpc")
    grace = given.get("terminationGracePeriodSeconds")
    return Probe(
        parse_action({kind: given[kind] for kind in kinds if kind in given}, ports, pod_ip),
        initial_delay_s=float(given.get("initialDelaySeconds", 0)),
        period_s=float(given.get("periodSeconds", 10)),
        timeout_s=float(given.get("timeoutSeconds", 1)),
        success_threshold=int(given.get("successThreshold", 1)),
        failure_threshold=int(given.get("failureThreshold", 3)),
        termination_grace_s=float(grace) if grace is not None else None,
    )


def _port(given: str | int, ports: Mapping[str, int]) -> int:
    if isinstance(given, int):
        return given
    if given not in ports:
        raise ConfigError(f"the container has no port named {given!r}")
    return ports[given]
