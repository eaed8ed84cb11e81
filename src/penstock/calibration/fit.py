"""From measurements to a profile: what is shared, then what each campaign adds, then how far off each would have been.

1. What is shared, and the factors of the engines, are fitted to all unsaturated closed loops and sweeps at once. Each
   campaign weighs the same, however many points it has.
2. With those fixed, each campaign gets a correction per engine version.
3. For each campaign the first fit is done again without it: its errors then are what to expect of something new. A
   random split of the points would flatter by a factor of 2 to 3, for a point's neighbours tell it.

Open loops take no part in the first fit; their campaigns get a correction from single requests.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from penstock.calibration.compare import Compared, errors
from penstock.calibration.corrections import fit_correction, fit_open_correction
from penstock.calibration.point_table import Played
from penstock.calibration.points import CampaignKey, OpenLoop, Point
from penstock.calibration.replay import predict, replay
from penstock.calibration.shared_fit import PRIOR, SharedModel, fit_shared
from penstock.errors import InputError
from penstock.hardware.profile import FEWEST_POINTS, Campaign, Errors, Profile, VersionCorrection
from penstock.hardware.serving import ENGINES, Serving
from penstock.hardware.step_model import ServingTimes

_UNKNOWN = Errors(ttft=None, tpot=None, ttft_bias=None, tpot_bias=None)


def fit(points: Iterable[Point], *, source: str, as_of: str, note: Callable[[str], None]) -> Profile:
    """Fit a profile.

    Args:
        source, as_of: of the measurements, for the record.
        note: told what is done, a line at a time.
    Raises: InputError, if no point counts, or a model does not fit the GPUs that it was measured on.
    """
    given = list(points)
    note(f"replaying {len(given)} points")
    replayed = [Played(point, played) for point in given if (played := replay(point)) is not None]
    counted = [each for each in replayed if not _saturated(each)]
    if not counted:
        raise InputError("profile fit", "no point is an unsaturated closed loop or sweep", "give more measurements")
    note(f"fitting what is shared to {len(counted)} points that are not saturated")
    model = fit_shared(counted, start=PRIOR)
    campaigns = []
    for key in dict.fromkeys(each.point.campaign for each in counted):
        mine = [each for each in counted if each.point.campaign == key]
        others = [each for each in counted if each.point.campaign != key]
        note(f"campaign {' / '.join(key)}: {len(mine)} points")
        campaigns.append(_campaign(key, mine, model, fit_shared(others, start=model) if others else PRIOR))
    seen = {(each.model, each.gpu, each.engine) for each in campaigns}
    opens = [point for point in given if isinstance(point.load, OpenLoop) and point.campaign not in seen]
    for key in dict.fromkeys(point.campaign for point in opens):
        note(f"campaign {' / '.join(key)}: request by request")
        campaigns.append(_open_campaign(key, [point for point in opens if point.campaign == key], model))
    campaigns.sort(key=lambda each: (each.model, each.gpu, each.engine))
    return Profile(
        source=source,
        as_of=as_of,
        shared=model.shared,
        engines=model.engines,
        campaigns=tuple(campaigns),
        left_out=_mean_errors([each.left_out for each in campaigns]),
    )


def _saturated(each: Played) -> bool:
    return predict(each.point, each.replay, PRIOR.times(each.point.serving)).saturated


def _campaign(key: CampaignKey, mine: Sequence[Played], model: SharedModel, without: SharedModel) -> Campaign:
    versions = dict.fromkeys(each.point.serving.version for each in mine)
    groups = {version: [each for each in mine if each.point.serving.version == version] for version in versions}
    corrections = tuple(
        VersionCorrection(version=version, points=len(group), correction=fit_correction(group, model))
        for version, group in groups.items()
        if len(group) >= FEWEST_POINTS
    )
    campaign = _named(key, corrections, points=len(mine))

    def of(times: Callable[[Serving], ServingTimes]) -> Errors:
        return errors(
            Compared(point=each.point, predicted=predict(each.point, each.replay, times(each.point.serving)))
            for each in mine
        )

    return replace(
        campaign,
        fitted=of(lambda serving: model.times(serving, campaign.correction_for(serving.version))),
        left_out=of(without.times),
    )


def _open_campaign(key: CampaignKey, mine: Sequence[Point], model: SharedModel) -> Campaign:
    correction = fit_open_correction(mine, model)
    measured = sum(len(point.load.ttft_s) or 1 for point in mine if isinstance(point.load, OpenLoop))
    version = VersionCorrection(version=mine[0].serving.version, points=measured, correction=correction)

    def of(times: Callable[[Serving], ServingTimes]) -> Errors:
        compared = [Compared(point=point, predicted=predict(point, None, times(point.serving))) for point in mine]
        return errors(each for each in compared if not each.predicted.saturated)

    return replace(
        _named(key, (version,), points=measured),
        fitted=of(lambda serving: model.times(serving, correction)),
        left_out=of(model.times),
    )


def _named(key: CampaignKey, corrections: tuple[VersionCorrection, ...], *, points: int) -> Campaign:
    model, gpu, engine = key
    return Campaign(
        model=model,
        gpu=gpu,
        engine=next(name for name in ENGINES if name == engine),
        points=points,
        fitted=_UNKNOWN,
        left_out=_UNKNOWN,
        corrections=corrections,
    )


def _mean_errors(members: Sequence[Errors]) -> Errors:
    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return Errors(
        ttft=mean(each.ttft for each in members),
        tpot=mean(each.tpot for each in members),
        ttft_bias=mean(each.ttft_bias for each in members),
        tpot_bias=mean(each.tpot_bias for each in members),
    )
