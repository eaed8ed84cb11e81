"""Replayed points as arrays: predicting a thousand of them is one product of matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from penstock.calibration.closed_loop import Replay
from penstock.calibration.features import NONE
from penstock.calibration.least_squares import OUTLIER_TPOT, OUTLIER_TTFT, Vector, log_errors
from penstock.calibration.points import Point
from penstock.hardware.step_model import ServingTimes

CAMPAIGN_WEIGHT = 8.0  # of a campaign's root mean square error, whatever its number of points


@dataclass(frozen=True, slots=True)
class Played:
    """A point, and its replay."""

    point: Point
    replay: Replay


class PointTable:
    """Points with their features, and which replica each is of.

    Args:
        played: at least one.

    servings: the different replicas, whose times `residuals` is given in this order.
    """

    def __init__(self, played: Sequence[Played]) -> None:
        self.servings = list(dict.fromkeys(each.point.serving for each in played))
        place = {serving: index for index, serving in enumerate(self.servings)}
        self._of = np.array([place[each.point.serving] for each in played])
        self._ttft = np.array([each.replay.ttft or NONE for each in played])
        self._tpot = np.array([each.replay.tpot or NONE for each in played])
        self._measured_ttft = np.array([each.point.ttft_s or np.nan for each in played])
        self._measured_tpot = np.array([each.point.tpot_s or np.nan for each in played])
        keys = [each.point.campaign for each in played]
        self._weight = np.array([CAMPAIGN_WEIGHT / keys.count(key) ** 0.5 for key in keys])

    def residuals(self, times: Sequence[ServingTimes], *, ttft_weight: float) -> Vector:
        """Weighted errors under the times of each replica."""
        step = np.array([each.step for each in times])[self._of]
        request = np.array([each.request_s for each in times])[self._of]
        lag = np.array([each.lag_steps for each in times])[self._of]
        tpot = (self._tpot * step).sum(axis=1)
        ttft = (self._ttft * step).sum(axis=1) + request + lag * tpot
        return np.concatenate(
            [
                self._weight * ttft_weight * log_errors(ttft, self._measured_ttft, OUTLIER_TTFT),
                self._weight * log_errors(tpot, self._measured_tpot, OUTLIER_TPOT),
            ]
        )
