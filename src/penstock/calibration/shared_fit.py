"""What all models share, fitted to every campaign at once."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from penstock.calibration import priors
from penstock.calibration.least_squares import Vector, fit_positive
from penstock.calibration.point_table import Played, PointTable
from penstock.hardware.serving import ENGINES, EngineName, Serving
from penstock.hardware.step_model import Correction, EngineFactors, ServingTimes, Shared, names, serving_times

_SHARED_FIELDS, _ENGINE_FIELDS = names(Shared), names(EngineFactors)
_TTFT_WEIGHT = 0.3  # against TPOT: a TTFT hangs on the harness more than on what is fitted
_PRIOR_WEIGHT = 0.5  # of a spread, where an error of 10 % throughout a campaign weighs 0.8


@dataclass(frozen=True, slots=True)
class SharedModel:
    """A step-time model without corrections."""

    shared: Shared
    engines: Mapping[EngineName, EngineFactors]

    def times(self, serving: Serving, correction: Correction | None = None) -> ServingTimes:
        """Predict a replica."""
        return serving_times(self.shared, self.engines[serving.engine], correction or Correction(), serving)

    @property
    def values(self) -> list[float]:
        """All parameters, in a row."""
        return [*astuple(self.shared), *(value for name in ENGINES for value in astuple(self.engines[name]))]

    @classmethod
    def of(cls, values: Vector) -> "SharedModel":
        """Back from such a row."""
        numbers = [float(value) for value in values]
        at, size = len(_SHARED_FIELDS), len(_ENGINE_FIELDS)
        engines: dict[EngineName, EngineFactors] = {}
        for index, name in enumerate(ENGINES):
            begin = at + index * size
            engines[name] = EngineFactors(**dict(zip(_ENGINE_FIELDS, numbers[begin : begin + size], strict=True)))
        return cls(Shared(**dict(zip(_SHARED_FIELDS, numbers[:at], strict=True))), engines)


PRIOR = SharedModel(priors.SHARED, priors.ENGINES)
_SPREAD = SharedModel(priors.SHARED_SPREAD, dict.fromkeys(ENGINES, priors.ENGINE_SPREAD))


def fit_shared(played: Sequence[Played], *, start: SharedModel) -> SharedModel:
    """Fit to points of any campaigns; each campaign weighs the same."""
    table = PointTable(played)

    def residuals(values: Vector) -> Vector:
        model = SharedModel.of(values)
        return table.residuals([model.times(serving) for serving in table.servings], ttft_weight=_TTFT_WEIGHT)

    found = fit_positive(residuals, prior=PRIOR.values, spread=_SPREAD.values, weight=_PRIOR_WEIGHT, start=start.values)
    return SharedModel.of(found)
