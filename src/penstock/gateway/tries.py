"""How often one request may be tried, and on whom not again. Pure: the gateway and its simulation share it."""

from penstock.gateway.settings import UpstreamLimits


class Tries:
    """One request's failed tries.

    excluded: workers that failed it, which the next choice leaves out.
    """

    __slots__ = ("_deliveries", "_limits", "_refusals", "excluded")

    def __init__(self, limits: UpstreamLimits) -> None:
        self._limits = limits
        self._deliveries = self._refusals = 0
        self.excluded: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """Workers that were to answer it and did not."""
        return self._deliveries + self._refusals

    def pass_over(self, worker: str) -> None:
        """This worker is not to be chosen again: it failed, if only at a part of the work."""
        self.excluded |= {worker}

    def failed(self, worker: str, *, delivered: bool) -> bool:
        """The worker that was to answer did not.

        Args:
            delivered: it got the request; else it never took it.
        Returns: whether another may be tried.
        """
        self._deliveries += delivered
        self._refusals += not delivered
        self.pass_over(worker)
        return self._deliveries < self._limits.deliveries and self._refusals < self._limits.refusals

    def start_over(self) -> None:
        """Nobody is left: once there is room again, whoever failed may be tried again."""
        self.excluded = frozenset()
