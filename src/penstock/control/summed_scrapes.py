"""Several processes read as one: the sum of their counters never falls because one of them goes or starts anew.

What a process had counted when it went, or before it began again at nothing, stays in the sum; its gauges do not. So
whoever reads increases from the sum sees requests, and not comings and goings. Pure.
"""

from collections.abc import Iterable, Mapping

from penstock.control.exposition import Scrape, Series

_Key = tuple[str, tuple[tuple[str, str], ...]]
_COUNTED = ("_total", "_bucket", "_sum", "_count")


class SummedScrapes:
    """The processes of one kind, by name. Args: witness: a counter whose fall tells that a process began anew."""

    def __init__(self, witness: str) -> None:
        self._witness = witness
        self._latest: dict[str, Scrape] = {}
        self._before: dict[_Key, float] = {}  # what processes that are gone, or began anew, had counted

    def take(self, process: str, scrape: Scrape) -> None:
        """One scrape of a process; one that failed (empty) leaves what it said before."""
        if not scrape.series:
            return
        before = self._latest.get(process)
        if before is not None and (scrape.total(self._witness) or 0.0) < (before.total(self._witness) or 0.0):
            self._keep(before)
        self._latest[process] = scrape

    def only(self, processes: Iterable[str]) -> None:
        """These are the processes that there are."""
        for gone in self._latest.keys() - set(processes):
            self._keep(self._latest.pop(gone))

    def together(self) -> Scrape:
        """All of them as one; empty before the first."""
        series = [one for scrape in self._latest.values() for one in scrape.series]
        series += [
            Series(name=name, labels=dict(labels), value=value) for (name, labels), value in self._before.items()
        ]
        return Scrape(tuple(series))

    def _keep(self, scrape: Scrape) -> None:
        for one in scrape.series:
            if one.name.endswith(_COUNTED):
                key = one.name, _ordered(one.labels)
                self._before[key] = self._before.get(key, 0.0) + one.value


def _ordered(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
