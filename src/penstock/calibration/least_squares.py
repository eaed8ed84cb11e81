"""Positive parameters fitted to relative errors, with a prior; scipy does the arithmetic."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Vector = NDArray[np.float64]
# Beyond these errors a point is an outlier, and pulls no harder than its logarithm: some rows were filed under the
# wrong number of GPUs.
OUTLIER_TTFT, OUTLIER_TPOT = 0.25, 0.1


def log_errors(predicted: Vector, measured: Vector, outlier: float) -> Vector:
    """Logarithm of predicted over measured, outliers reined in. 0 where `measured` is nan."""
    known = np.isfinite(measured)
    ratio = np.where(known, predicted, 1.0) / np.where(known, measured, 1.0)
    return np.asarray(np.arcsinh(np.log(ratio) / outlier) * outlier, dtype=np.float64)


def fit_positive(
    residuals: Callable[[Vector], Vector],
    *,
    prior: Sequence[float],
    spread: Sequence[float],
    weight: float,
    start: Sequence[float] | None = None,
    step: float = 1e-6,
    most_evaluations: int = 60,
) -> Vector:
    """Find the values that make `residuals` and their distance from the prior least.

    Args:
        residuals: of values (not logarithms), one vector.
        weight: of a distance of one spread.
        start: where to begin; default: the prior.
        step: of finite differences, in the logarithm; larger where the residuals are not smooth.
    """
    centre, width = np.log(np.asarray(prior)), np.asarray(spread)

    def all_residuals(logs: Vector) -> Vector:
        return np.concatenate([residuals(np.exp(logs)), weight * (logs - centre) / width])

    def slopes(logs: Vector) -> Vector:
        # Not scipy's own differences: their steps are relative, and the logarithm of a factor of 1 is 0.
        at = all_residuals(logs)
        return np.stack([(all_residuals(logs + step * axis) - at) / step for axis in np.eye(len(logs))], axis=1)

    begin = centre if start is None else np.log(np.asarray(start))
    found = least_squares(all_residuals, begin, jac=slopes, max_nfev=most_evaluations, ftol=1e-6)
    return np.asarray(np.exp(found.x), dtype=np.float64)
