"""What a planner knows of demand, and its look ahead: joins history, rises or season, and forecast. Bounded."""

from dataclasses import dataclass, field, replace

from penstock.autoscale.coverage import Coverage
from penstock.autoscale.demand_history import Past, Point, dispersion, lengthen, mean, remember
from penstock.autoscale.forecast import Forecast, forecast, level_now
from penstock.autoscale.long_history import HOUR, NOTHING_BEFORE, LongHistory
from penstock.autoscale.rises import rise
from penstock.autoscale.season import Season, learn
from penstock.autoscale.trend import trend

ALIKE = 1.25  # lead times that what was learnt for one of them serves: it costs 50 ms
LEAST_SAMPLE_S = 2.0  # no world measures demand over less, however often one looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What the past says, as of its cell `cell` and for one horizon: it changes that seldom, and costs a millisecond.

    Args:
        dispersed: variance of arrivals over that of Poisson's. trend_per_s: what demand grows by, each second.
        rise: requests/s that demand may rise by; None where days say it.
    """

    cell: int
    horizon_s: float
    dispersed: float
    trend_per_s: float
    rise: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the days before say, as of the hour `hour` of the history and for one lead time."""

    hour: int
    lead_s: float
    season: Season | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Demand of one pool, as far as it is remembered: the last hour, the hours before, and what they say."""

    history: tuple[Point, ...] = ()
    past: Past = field(default_factory=Past)
    learnt: Learnt | None = None
    days: LongHistory = NOTHING_BEFORE
    known: Known | None = None
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def dispersed(self) -> float:
        """How bursty arrivals are: 1 is Poisson's, or unknown."""
        return self.learnt.dispersed if self.learnt is not None else 1.0

    def noted(self, at_s: float, rate: float) -> "Demand":
        """With one sample more, in requests/s."""
        history = remember(self.history, at_s, rate)
        return replace(self, history=history, past=lengthen(self.past, history), days=self.days.noted(at_s, rate))

    def ahead(
        self,
        *,
        lead_s: float,
        interval_s: float,
        held_s: float,
        per_replica: float | None,
        late: bool,
        quantile: float,
        now_s: float,
        seasons: bool = False,
    ) -> tuple[Forecast | None, "Demand"]:
        """Look one lead time and one interval ahead: what is missed now is seen one interval later.

        Args:
            held_s: for how long what one look asks for is kept.
            per_replica: requests/s that one replica carries, if known. late: whether a target is missed now.
            seasons: once a day is known, learn how far demand rises from days rather than from the last hours.
        """
        if not self.history:
            return None, self
        known = self._known(lead_s, held_s, quantile) if seasons else None
        season = known.season if known is not None else None
        horizon_s, latest = lead_s + interval_s, self.history[-1].rate
        learnt = self.learnt
        if learnt is None or (learnt.cell, learnt.horizon_s) != (self.past.last, horizon_s):
            learnt = self._learnt(horizon_s)
        dispersed, latest_s = learnt.dispersed, max(interval_s, LEAST_SAMPLE_S)
        level = level_now(self.history, latest, latest_s=latest_s, now_s=now_s, dispersed=dispersed)
        if season is not None:
            smooth = mean(self.history, now_s - season.span_s, now_s, level)
            up = season.rise(level, smooth, now_s=now_s, horizon_s=horizon_s, dispersed=dispersed)
        else:
            if learnt.rise is None:
                up = rise(self.past, level, horizon_s=horizon_s, quantile=quantile, dispersed=dispersed)
                learnt = replace(learnt, rise=up)
            up = learnt.rise or 0.0
        ahead = forecast(level, learnt.trend_per_s, up, horizon_s=horizon_s, quantile=quantile)
        coverage = self.coverage.looked(
            ahead.level,
            ahead.upper - ahead.level,
            now_s=now_s,
            rate_since=lambda since_s: mean(self.history, since_s, now_s, latest),
            per_replica=per_replica,
            late=late,
            lead_s=lead_s,
            held_s=held_s,
            quantile=quantile,
        )
        ahead = ahead.taken(coverage.share)
        return ahead, replace(self, learnt=learnt, known=known, coverage=coverage)

    def _learnt(self, horizon_s: float) -> Learnt:
        dispersed = dispersion(self.history)
        trend_per_s = trend(self.past.levels, horizon_s=horizon_s, dispersed=dispersed)
        return Learnt(cell=self.past.last, horizon_s=horizon_s, dispersed=dispersed, trend_per_s=trend_per_s, rise=None)

    def _known(self, lead_s: float, held_s: float, quantile: float) -> Known:
        hour, known = self.days.end // HOUR, self.known
        if known is not None and known.hour == hour and known.lead_s / ALIKE <= lead_s <= known.lead_s * ALIKE:
            return known
        season = learn(self.days, lead_s=lead_s, held_s=held_s, budget=1 - quantile)
        return Known(hour=hour, lead_s=lead_s, season=season)
