"""Whether a pod finds room on a node: resources, node selector, taints. Pure.

Affinity and topology spread are not known here; a pod that needs them is taken to fit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from kubelet.quantity import amounts

Pod = Mapping[str, Any]


@dataclass(slots=True)
class Room:
    """A node, there or to come, and what is free on it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    free: dict[str, Fraction] = field(default_factory=dict)

    def fits(self, pod: Pod) -> bool:
        """Does not mutate."""
        spec = pod["spec"]
        selected = all(self.labels.get(key) == value for key, value in spec.get("nodeSelector", {}).items())
        tolerated = all(
            any(_tolerates(toleration, taint) for toleration in spec.get("tolerations", ()))
            for taint in self.taints
            if taint["effect"] != "PreferNoSchedule"
        )
        return selected and tolerated and all(self.free.get(name, 0) >= n for name, n in requests(pod).items())

    def take(self, pod: Pod) -> None:
        """Mutates: it is on the node."""
        for name, n in requests(pod).items():
            self.free[name] = self.free.get(name, Fraction(0)) - n


def requests(pod: Pod) -> dict[str, Fraction]:
    """What its containers ask for, and the place of one pod."""
    asked: dict[str, Fraction] = {"pods": Fraction(1)}
    for container in pod["spec"]["containers"]:
        resources = container.get("resources", {})
        for name, n in amounts(resources.get("limits", {}) | resources.get("requests", {})).items():
            asked[name] = asked.get(name, Fraction(0)) + n
    return asked


def placed(pods: Iterable[Pod], rooms: Iterable[Room]) -> list[Pod]:
    """Give each pod the first room that it fits in. Mutates the rooms. Returns: those without."""
    rooms = list(rooms)
    left = []
    for pod in pods:
        room = next((room for room in rooms if room.fits(pod)), None)
        if room:
            room.take(pod)
        else:
            left.append(pod)
    return left


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")
