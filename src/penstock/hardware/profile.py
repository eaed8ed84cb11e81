"""A step-time profile: what was fitted, to what, and how far it was off.

A file of JSON. `shared` and `engines` hold for any model; each campaign (model, GPU, engine) that was measured adds a
correction per engine version, and its errors: of the points that it was fitted to, and of the same points predicted by
a fit that had not seen the campaign. The latter is what to expect of a model, GPU or engine that is not in the file.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from penstock.errors import InputError
from penstock.hardware.serving import ENGINES, EngineName, Serving
from penstock.hardware.step_model import Correction, EngineFactors, ServingTimes, Shared, names, serving_times
from penstock.messages.confidence import Confidence

FORMAT = 1
FEWEST_POINTS = 5  # with fewer, a correction fits them by itself, and its error says nothing
_SHIPPED = Path(__file__).parent / "data" / "profile.json"
_Values = TypeVar("_Values", Shared, EngineFactors, Correction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Mean absolute relative errors, and mean relative errors; 0.05 is 5 %. None: nothing of the kind was measured."""

    ttft: float | None
    tpot: float | None
    ttft_bias: float | None
    tpot_bias: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCorrection:
    """The correction of a campaign's points with one version of the engine ("": not stated)."""

    version: str
    points: int
    correction: Correction


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What was measured with one model (shape) on one GPU with one engine.

    Args:
        points: measurements that count: unsaturated points, or single requests of open loops.
        fitted: errors of the points that the corrections were fitted to.
        left_out: errors when the campaign is left out of the fit and has no correction.
    """

    model: str
    gpu: str
    engine: EngineName
    points: int
    fitted: Errors
    left_out: Errors
    corrections: tuple[VersionCorrection, ...]

    def correction_for(self, version: str) -> Correction:
        """Of that version of the engine; of the one measured most, if it was not measured."""
        same = [entry for entry in self.corrections if entry.version == version]
        best = max(same or self.corrections, key=lambda entry: entry.points, default=None)
        return best.correction if best else Correction()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A fitted step-time model. `source`: of the measurements. `left_out`: mean over campaigns."""

    source: str
    as_of: str
    shared: Shared
    engines: Mapping[EngineName, EngineFactors]
    campaigns: tuple[Campaign, ...]
    left_out: Errors

    def campaign(self, serving: Serving) -> Campaign | None:
        """The campaign that measured just this model, GPU and engine."""
        key = (serving.model.name, serving.gpu.name, serving.engine)
        return next((entry for entry in self.campaigns if (entry.model, entry.gpu, entry.engine) == key), None)

    def times(self, serving: Serving) -> ServingTimes:
        """Predict the times of a replica."""
        campaign = self.campaign(serving)
        correction = campaign.correction_for(serving.version) if campaign else Correction()
        return serving_times(self.shared, self.engines[serving.engine], correction, serving)

    def confidence(self, serving: Serving) -> Confidence:
        """How far that prediction may be off: a factor of 2 to 3 more, where nothing like it was measured."""
        campaign = self.campaign(serving)
        calibrated = campaign is not None and campaign.points >= FEWEST_POINTS
        errors = campaign.fitted if campaign and calibrated else self.left_out
        return Confidence(
            ttft_error=_first(errors.ttft, self.left_out.ttft),
            tpot_error=_first(errors.tpot, self.left_out.tpot),
            calibrated=calibrated,
            model_seen=any(entry.model == serving.model.name for entry in self.campaigns),
            gpu_seen=any(entry.gpu == serving.gpu.name for entry in self.campaigns),
            engine_seen=any(entry.engine == serving.engine for entry in self.campaigns),
        )


def _first(*values: float | None) -> float:
    return next((value for value in values if value is not None), float("nan"))


def profile_to_json(profile: Profile) -> str:
    """Write a profile as text; `parse_profile` reads it."""
    return json.dumps({"format": FORMAT, **_rounded(asdict(profile))}, indent=1) + "\n"


def _rounded(value: Any) -> Any:
    """Six digits are more than any fit knows."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def parse_profile(text: str, *, source: str) -> Profile:
    """Read a profile. Raises: InputError, that names the file and the field."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}:{error.lineno}", f"no JSON ({error.msg})", "make it with `profile fit`") from error
    return _Reader(document, source).profile()


@cache
def shipped_profile() -> Profile:
    """The profile that ships with the package."""
    return parse_profile(_SHIPPED.read_text(encoding="utf-8"), source=_SHIPPED.name)


class _Reader:
    """Takes one document apart."""

    def __init__(self, document: Any, source: str) -> None:
        self._document = document
        self._source = source

    def profile(self) -> Profile:
        document = self._document
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise self._wrong("format", f"not a profile of format {FORMAT}")
        try:
            engines = {name: self._values(EngineFactors, document["engines"], name) for name in ENGINES}
            return Profile(
                source=str(document["source"]),
                as_of=str(document["as_of"]),
                shared=self._values(Shared, document, "shared"),
                engines=engines,
                campaigns=tuple(self._campaign(entry) for entry in document["campaigns"]),
                left_out=Errors(**document["left_out"]),
            )
        except (KeyError, TypeError) as error:
            raise self._wrong("profile", f"a field is missing or of the wrong kind ({error})") from error

    def _campaign(self, entry: dict[str, Any]) -> Campaign:
        if entry["engine"] not in ENGINES:
            raise self._wrong("campaigns.engine", f"unknown engine {entry['engine']!r}")
        return Campaign(
            model=str(entry["model"]),
            gpu=str(entry["gpu"]),
            engine=entry["engine"],
            points=int(entry["points"]),
            fitted=Errors(**entry["fitted"]),
            left_out=Errors(**entry["left_out"]),
            corrections=tuple(
                VersionCorrection(
                    version=str(row["version"]),
                    points=int(row["points"]),
                    correction=self._values(Correction, row, "correction"),
                )
                for row in entry["corrections"]
            ),
        )

    def _values(self, kind: type[_Values], parent: Mapping[str, Any], field: str) -> _Values:
        given = parent[field]
        wanted = names(kind)
        if not isinstance(given, dict) or sorted(given) != sorted(wanted):
            raise self._wrong(field, f"its fields are not {', '.join(wanted)}")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
                raise self._wrong(f"{field}.{name}", f"{value!r} is no positive number")
        return kind(**given)

    def _wrong(self, field: str, what: str) -> InputError:
        return InputError(f"{self._source}: {field}", what, "make it anew with `profile fit`")
