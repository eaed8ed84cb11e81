"""Predicted against measured, point by point and by campaign."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from penstock.calibration.points import CampaignKey, Point, Skipped
from penstock.calibration.replay import Prediction, predict, replay
from penstock.errors import InputError
from penstock.hardware.profile import Errors, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A point and what was predicted for it."""

    point: Point
    predicted: Prediction

    @property
    def ttft_error(self) -> float | None:
        """Relative: above 0, if too long was predicted. None, if there is nothing to compare."""
        return _relative(self.predicted.ttft_s, self.point.ttft_s)

    @property
    def tpot_error(self) -> float | None:
        """As `ttft_error`."""
        return _relative(self.predicted.tpot_s, self.point.tpot_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All points, in their order, and those that could not be replayed."""

    points: tuple[Compared, ...]
    skipped: tuple[Skipped, ...]

    @property
    def unsaturated(self) -> tuple[Compared, ...]:
        """The points that count."""
        return tuple(each for each in self.points if not each.predicted.saturated)


def compare(
    points: Iterable[Point],
    skipped: Iterable[Skipped],
    profile: Profile,
    *,
    tick: Callable[[int], None] = lambda done: None,
) -> Comparison:
    """Replay each point and predict it with the profile. A model that does not fit its GPUs is skipped.

    Args:
        tick: told how many points are done, after each.
    """
    compared: list[Compared] = []
    left = list(skipped)
    for done, point in enumerate(points, start=1):
        try:
            predicted = predict(point, replay(point), profile.times(point.serving))
        except InputError as error:
            left.append(Skipped(id=point.id, why=f"{error.where}: {error.what}"))
        else:
            compared.append(Compared(point=point, predicted=predicted))
        tick(done)
    return Comparison(points=tuple(compared), skipped=tuple(left))


def errors(compared: Iterable[Compared]) -> Errors:
    """Mean absolute relative errors and biases."""
    members = list(compared)
    ttft = [each.ttft_error for each in members if each.ttft_error is not None]
    tpot = [each.tpot_error for each in members if each.tpot_error is not None]
    return Errors(
        ttft=_mean([abs(error) for error in ttft]),
        tpot=_mean([abs(error) for error in tpot]),
        ttft_bias=_mean(ttft),
        tpot_bias=_mean(tpot),
    )


def by_campaign(compared: Iterable[Compared]) -> dict[CampaignKey, tuple[Compared, ...]]:
    """The points of each campaign, campaigns in order of their names."""
    groups: dict[CampaignKey, list[Compared]] = defaultdict(list)
    for each in compared:
        groups[each.point.campaign].append(each)
    return {key: tuple(groups[key]) for key in sorted(groups)}


def _relative(predicted: float | None, measured: float | None) -> float | None:
    return None if predicted is None or measured is None else predicted / measured - 1.0


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
