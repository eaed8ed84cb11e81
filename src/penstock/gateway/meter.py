"""Times what passes to one client: TTFT from its request's arrival (time held included), then gaps between tokens.

Several tokens in one read share its gap evenly: their mean is right, and neither a burst of zeros nor one long gap is
made up. A response that is not streamed shows neither, so it counts only towards the request's duration.
"""

from collections.abc import Callable

from penstock.gateway.sse import TokenCounter
from penstock.telemetry.gateway_metrics import GatewayMetrics


class StreamMeter:
    """Watches one stream. `passed` is on the hot path: once per read."""

    __slots__ = ("_arrived_s", "_clock", "_first", "_itl", "_last_s", "_ttft", "counter")

    def __init__(
        self, metrics: GatewayMetrics, clock: Callable[[], float], arrived_s: float, first: Callable[[float], None]
    ) -> None:
        """Args: first: called once, with the instant of the first token."""
        self._ttft = metrics.time_to_first_token
        self._itl = metrics.inter_token_latency
        self._clock = clock
        self._arrived_s = arrived_s
        self._first = first
        self._last_s = -1.0
        self.counter = TokenCounter()

    def passed(self, data: bytes) -> None:
        """These bytes of the body went to the client."""
        tokens = self.counter.add(data)
        if not tokens:
            return
        now_s = self._clock()
        if self._last_s >= 0:
            self._itl.observe((now_s - self._last_s) / tokens, tokens)
        else:
            self._ttft.observe(now_s - self._arrived_s)
            self._first(now_s)
            if tokens > 1:
                self._itl.observe(0.0, tokens - 1)  # they did come at once
        self._last_s = now_s
