"""By how much a campaign differs from what is shared."""

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from penstock.calibration import priors
from penstock.calibration.least_squares import OUTLIER_TPOT, OUTLIER_TTFT, Vector, fit_positive, log_errors
from penstock.calibration.open_loop import play_open_loop
from penstock.calibration.point_table import CAMPAIGN_WEIGHT, Played, PointTable
from penstock.calibration.points import OpenLoop, Point
from penstock.calibration.replay import kv_tokens_of, predict
from penstock.calibration.shared_fit import SharedModel
from penstock.hardware.step_model import Correction, ServingTimes, names

_TTFT_WEIGHT = 0.4
_PRIOR_WEIGHT = 0.02
# Of an open loop: its means are what a profile is used for, and are met first; its requests tell the causes apart.
_REQUESTS_WEIGHT, _OPEN_PRIOR_WEIGHT = 4.0, 0.1
_OPEN_STEP, _OPEN_EVALUATIONS = 0.03, 12  # a queue's times are not smooth in the coefficients


def fit_correction(played: Sequence[Played], model: SharedModel) -> Correction:
    """Of points that were replayed once and for all."""
    table = PointTable(played)

    def residuals(values: Vector) -> Vector:
        correction = _correction(values)
        times = [model.times(serving, correction) for serving in table.servings]
        return table.residuals(times, ttft_weight=_TTFT_WEIGHT)

    return _correction(
        fit_positive(
            residuals,
            prior=astuple(Correction()),
            spread=astuple(priors.CORRECTION_SPREAD),
            weight=_PRIOR_WEIGHT,
        )
    )


def fit_open_correction(points: Sequence[Point], model: SharedModel) -> Correction:
    """Of open loops, each played anew for every trial."""

    def residuals(values: Vector) -> Vector:
        correction = _correction(values)
        return np.concatenate([_open_residuals(point, model.times(point.serving, correction)) for point in points])

    return _correction(
        fit_positive(
            residuals,
            prior=astuple(Correction()),
            spread=astuple(priors.CORRECTION_SPREAD),
            weight=_OPEN_PRIOR_WEIGHT,
            step=_OPEN_STEP,
            most_evaluations=_OPEN_EVALUATIONS,
        )
    )


def _correction(values: Vector) -> Correction:
    return Correction(**dict(zip(names(Correction), (float(value) for value in values), strict=True)))


def _open_residuals(point: Point, times: ServingTimes) -> Vector:
    load = point.load
    if not isinstance(load, OpenLoop):
        raise TypeError(f"{point.id} is no open loop")
    means = predict(point, None, times)
    parts = [np.zeros(0)]
    if not means.saturated:
        for predicted, measured, outlier in (
            (means.ttft_s, point.ttft_s, OUTLIER_TTFT),
            (means.tpot_s, point.tpot_s, OUTLIER_TPOT),
        ):
            pair = np.array([predicted or np.nan]), np.array([measured or np.nan])
            parts.append(CAMPAIGN_WEIGHT * log_errors(*pair, outlier))
    if load.tpot_s:
        kv_tokens = kv_tokens_of(point.serving, load.limits)
        single = play_open_loop(point.serving, load, times.step_time(point.serving), kv_tokens=kv_tokens)
        weight = _REQUESTS_WEIGHT / len(load.tpot_s) ** 0.5
        parts.append(weight * log_errors(np.array(single.tpot_s), np.array(load.tpot_s), OUTLIER_TPOT))
    return np.concatenate(parts)
