"""Everything that Penstock raises on purpose, split by whose fault it is and by what to do next.

PenstockError
├── InputError            the user's file, flag or environment is wrong; exit code 2, one line
├── GatewayError          answers a request; knows its HTTP status and OpenAI `type`
│   ├── ClientError       the request is wrong (400, 404, 413): do not retry
│   ├── Overloaded        we refuse for now (429, 503): retry after `retry_after_s`
│   └── UpstreamError     no worker could answer (502, 504)
├── Retry                 a control step failed; try again after `after_s`
├── GiveUp                a control step failed for good; say so loudly
└── UnknownWorker         a worker was named that was never registered, or is gone
"""


class PenstockError(Exception):
    """Base of all our errors."""


class InputError(PenstockError):
    """The user's input is wrong. Says where, what, and what would be right, in one line.

    Args:
        where: file, field path, line or flag, as the user would look for it.
        what: what is wrong there, with the offending value.
        fix: what would be right.
    """

    def __init__(self, where: str, what: str, fix: str) -> None:
        super().__init__(f"{where}: {what}; {fix}")
        self.where = where
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.where, self.what, self.fix)  # so that it crosses processes


class GatewayError(PenstockError):
    """A request is answered with this, in the OpenAI error shape."""

    status = 500
    type = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


class ClientError(GatewayError):
    """The request itself is wrong; sending it again will not help."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message, code=code, param=param)
        self.status = status


class Overloaded(GatewayError):
    """No room or no worker right now; the answer carries `Retry-After`."""

    status = 503
    type = "overloaded_error"

    def __init__(self, message: str, *, retry_after_s: float, status: int = 503, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s
        self.status = status


class UpstreamError(GatewayError):
    """Workers were there, but none could answer."""

    status = 502
    type = "upstream_error"

    def __init__(self, message: str, *, status: int = 502, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status


class Retry(PenstockError):
    """A control step failed for now."""

    def __init__(self, doing: str, *, after_s: float) -> None:
        super().__init__(f"{doing}: will try again in {after_s:g} s")
        self.after_s = after_s


class GiveUp(PenstockError):
    """A control step failed for good."""


class UnknownWorker(PenstockError):
    """A worker that was never registered, or was removed, is named by its id."""
