"""What demand may be one lead time ahead, learnt from days: by time of day, and by what a miss is worth.

    expected = level x season(then) / season(now)            upper = expected x margin

*Season* is one of a few candidates: flat (the last value), the day, the day smoothed against what came once, the week.
Each is tried on the days that are known, every day forecast from the others only; the one counts with which keeping
a strict budget of misses would have cost least.

*Margin.* A window costs as much when it is missed, whenever it is; a replica kept against that costs the more the
higher the demand. So the margin minimises

    expected x margin + price x P(demand > expected x margin)

with the share of misses taken from days before, from standings like today's (level over season), and one price for
all of it, at which the budget is just kept: Everett's multiplier, and the newsvendor's rule for a loss that counts
windows rather than requests. Rare rises are then provisioned for where that is cheap, and let pass where it is not.

At last the price is lowered as far as the days known allow once it counts that what was asked for is kept for a while:
then the highest of several looks has to be exceeded, not the last.

It does not know replicas, or dollars: only their ratio matters, and the budget fixes that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from penstock.autoscale.long_history import DAY, HOUR, MAX_HOURS, MINUTE_S, UNKNOWN, LongHistory
from penstock.autoscale.margins import NO_RISE, Odds, cost_at, odds_of, price_for, price_held
from penstock.autoscale.rises import beyond_chance

BUCKET = 5  # minutes, of a season
BUCKETS = DAY // BUCKET
LEARN_FROM = 7 * DAY  # minutes, that each candidate is tried on
SMOOTHED = 2  # buckets on each side
STANDING = 0.5  # octaves, that count as alike
FEWEST = 10  # minutes of a standing; with fewer, all count
NIGHT = 0.1  # of the mean demand: less is as good as none, and multiples of it say nothing
WEEK = 7  # days

STRICT = 0.1  # of the budget, at which shapes are compared: else what comes every day might be let pass as rare
CLEARLY = 0.98  # of the cost
SEASONS = {"smoothed day": (1, SMOOTHED), "day": (1, 0), "week": (WEEK, 0)}  # days, buckets beside
SPANS = (5, 1, 15)  # minutes

Profile = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """What was learnt, for one lead time.

    Args:
        name: of the candidate. profile: by bucket of a day or of a week; requests/s.
        night: requests/s. odds: by standing, in steps of `STANDING`; `any_odds` for those that were hardly ever seen.
        price: requests/s that are worth one minute's miss.
        cost, strict_cost: mean requests/s that it would have been ready for, within the budget and a tenth of it.
    """

    name: str
    profile: Profile
    span_s: float
    night: float
    odds: dict[int, Odds]
    any_odds: Odds
    price: float
    cost: float
    strict_cost: float

    def rise(self, level: float, smooth: float, *, now_s: float, horizon_s: float, dispersed: float) -> float:
        """Requests/s by which capacity should exceed the level; 0 or more.

        Args:
            smooth: the mean of the last `span_s`, in requests/s.
            dispersed: variance of arrivals over that of Poisson's. What chance alone lifts is taken off, as in `rises`.
        """
        upper, left = self._upper(smooth, now_s, horizon_s)
        over_s = 2 / (1 / MINUTE_S + 1 / self.span_s)
        return beyond_chance(upper - level, level, over_s=over_s, quantile=1 - left, dispersed=dispersed)

    def _upper(self, level: float, now_s: float, horizon_s: float) -> tuple[float, float]:
        """What to be ready for, and the share of minutes that this leaves uncovered."""
        now, then = _now_and_then(self.profile, now_s / MINUTE_S, horizon_s / MINUTE_S)
        expected = (level + self.night) * (then + self.night) / (now + self.night)
        odds = self._odds(_standing(level, now, self.night))
        place = odds.place(expected / self.price)
        return max(0.0, expected * odds.margins[place] - self.night), odds.left[place]

    def _odds(self, standing: int) -> Odds:
        return self.odds.get(standing) or (NO_RISE if standing > max(self.odds, default=0) else self.any_odds)


def learn(history: LongHistory, *, lead_s: float, held_s: float, budget: float) -> Season | None:
    """The best season, or None before a day is known.

    Args:
        held_s: for how long what one look asks for is kept. budget: the share of minutes that may be missed.
    """
    minutes = history.last(MAX_HOURS * HOUR)
    if len(minutes) < DAY + BUCKET:
        return None
    known = [rate for rate in minutes if rate != UNKNOWN]
    mean = sum(known) / max(1, len(known))
    if mean <= 0:
        return None
    buckets = _buckets(minutes, history.end - len(minutes))
    recent = minutes[-LEARN_FROM:]
    past = _Past(
        minutes=recent,
        first=history.end - len(recent),
        ahead=1 + math.ceil(lead_s / MINUTE_S),
        night=NIGHT * mean,
        budget=budget,
    )
    best = _fitted("flat", _profiles(buckets, 0, 0, mean), SPANS[0], past)
    for name, (days, beside) in SEASONS.items():
        if len(minutes) >= 2 * days * DAY:
            other = _fitted(name, _profiles(buckets, days, beside, mean), SPANS[0], past)
            best = other if other.strict_cost < CLEARLY * best.strict_cost else best  # the simpler first
    days, beside = SEASONS.get(best.name, (0, 0))
    for span in SPANS[1:]:
        other = _fitted(best.name, _profiles(buckets, days, beside, mean), span, past)
        best = other if other.cost < CLEARLY * best.cost else best
    stands = _stands(_profiles(buckets, days, beside, mean), round(best.span_s / MINUTE_S), past)
    days_of = sorted({each.at // DAY for each in stands})
    # What a day shows must not be judged by itself: it would be known already.
    others = {day: _odds([each for each in stands if each.at // DAY != day]) for day in days_of if len(days_of) > 1}
    played = []
    for each in stands:
        odds, any_odds = others.get(each.at // DAY, (best.odds, best.any_odds))
        played.append((odds.get(each.standing, any_odds), each.expected, each.came))
    held = 1 + math.floor(held_s / MINUTE_S)
    return replace(best, price=price_held(played, held=held, budget=budget, highest=best.price))


def _buckets(minutes: Sequence[float], first: int) -> dict[int, float]:
    """Mean demand by number of the bucket."""
    sums: dict[int, tuple[float, int]] = {}
    for place, rate in enumerate(minutes, start=first):
        if rate != UNKNOWN:
            total, count = sums.get(place // BUCKET, (0.0, 0))
            sums[place // BUCKET] = (total + rate, count + 1)
    return {bucket: total / count for bucket, (total, count) in sums.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    minutes: list[float]
    first: int
    ahead: int
    night: float
    budget: float


@dataclass(frozen=True, slots=True)
class _Profiles:
    """One for each period that is known, learnt from the others; `today`: from all of them."""

    length: int
    by_period: dict[int, Profile]
    today: Profile


def _profiles(buckets: dict[int, float], days: int, beside: int, mean: float) -> _Profiles:
    if not days:
        return _Profiles(BUCKETS, {}, (mean,) * BUCKETS)
    length = days * BUCKETS
    periods = sorted({bucket // length for bucket in buckets})
    beside_each = range(-beside, beside + 1)

    def profile(without: int | None) -> Profile:
        others = [period for period in periods if period != without]
        found = []
        for place in range(length):
            values = [
                buckets[number]
                for period in others
                for offset in beside_each
                if (number := period * length + place + offset) in buckets
            ]
            found.append(median(values) if values else mean)
        return tuple(found)

    return _Profiles(length, {period: profile(period) for period in periods}, profile(None))


@dataclass(frozen=True, slots=True)
class _Stand:
    """The end of a minute that is known: what was expected of the minute one lead time later, and what came of it."""

    at: int
    standing: int
    expected: float
    came: float


def _stands(profiles: _Profiles, span: int, past: _Past) -> list[_Stand]:
    night, minutes = past.night, past.minutes
    found = []
    for place, level in enumerate(_means(minutes[: len(minutes) - past.ahead], span)):
        came = minutes[place + past.ahead]
        if level == UNKNOWN or came == UNKNOWN:
            continue
        at = past.first + place + 1
        profile = profiles.by_period.get((at // BUCKET) // profiles.length, profiles.today)
        now, then = _now_and_then(profile, at, past.ahead)
        expected = (level + night) * (then + night) / (now + night)
        found.append(_Stand(at, _standing(level, now, night), expected, came + night))
    return found


def _odds(stands: Sequence[_Stand]) -> tuple[dict[int, Odds], Odds]:
    """By standing, and of all."""
    ratios: dict[int, list[float]] = {}
    for stand in stands:
        ratios.setdefault(stand.standing, []).append(stand.came / stand.expected)
    odds = {standing: odds_of(each) for standing, each in ratios.items() if len(each) >= FEWEST}
    return odds, odds_of([ratio for each in ratios.values() for ratio in each])


def _fitted(name: str, profiles: _Profiles, span: int, past: _Past) -> Season:
    """Odds and price of one candidate."""
    stands = _stands(profiles, span, past)
    odds, any_odds = _odds(stands)
    met = [(odds.get(each.standing, any_odds), each.expected) for each in stands if each.at % BUCKET == 0]
    price, strict = price_for(met, past.budget), price_for(met, STRICT * past.budget)
    return Season(
        name=name,
        profile=profiles.today,
        span_s=span * MINUTE_S,
        night=past.night,
        odds=odds,
        any_odds=any_odds,
        price=price,
        cost=cost_at(met, price),
        strict_cost=cost_at(met, strict),
    )


def _means(minutes: Sequence[float], span: int) -> list[float]:
    """Of each minute and those before it; unknown where one of them is."""
    if span == 1:
        return list(minutes)
    found, total, unknown = [], 0.0, 0
    for place, rate in enumerate(minutes):
        total, unknown = total + rate, unknown + (rate == UNKNOWN)
        if place >= span:
            gone = minutes[place - span]
            total, unknown = total - gone, unknown - (gone == UNKNOWN)
        found.append(max(0.0, total / span) if place >= span - 1 and not unknown else UNKNOWN)
    return found


def _now_and_then(profile: Profile, at: float, ahead: float) -> tuple[float, float]:
    """The season at that minute, and its highest from there on over `ahead` minutes."""
    bucket = math.floor(at / BUCKET)
    last = math.floor((at + ahead) / BUCKET)
    length = len(profile)
    now = profile[bucket % length]
    return now, max(profile[place % length] for place in range(bucket, last + 1))


def _standing(level: float, season: float, night: float) -> int:
    return round(math.log2((level + night) / (season + night)) / STANDING)
