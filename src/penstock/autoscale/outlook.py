"""What a planner knows of demand, and its look ahead: joins history, rises or season, and forecast. Bounded."""

from dataclasses import dataclass, field, replace

from penstock.autoscale.demand_history import Past, Point, dispersion, lengthen, mean, remember
from penstock.autoscale.forecast import Forecast, forecast, level_now
from penstock.autoscale.long_history import HOUR, NOTHING_BEFORE, LongHistory
from penstock.autoscale.rises import rise
from penstock.autoscale.season import Season, learn

ALIKE = 1.25  # lead times that what was learnt for one of them serves: it costs 50 ms
LEAST_SAMPLE_S = 2.0  # no world measures demand over less, however often one looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What the past says, as of its cell `cell` and for one horizon: it changes that seldom, and costs a millisecond.

    Args:
        dispersed: variance of arrivals over that of Poisson's. rise: requests/s that demand may rise by.
    """

    cell: int
    horizon_s: float
    dispersed: float
    rise: float


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

    @property
    def dispersed(self) -> float:
        """How bursty arrivals are: 1 is Poisson's, or unknown."""
        return self.learnt.dispersed if self.learnt is not None else 1.0

    def noted(self, at_s: float, rate: float) -> "Demand":
        """With one sample more, in requests/s."""
        history = remember(self.history, at_s, rate)
        return replace(self, history=history, past=lengthen(self.past, history), days=self.days.noted(at_s, rate))

    def ahead(
        self, *, lead_s: float, interval_s: float, quantile: float, now_s: float, seasons: bool = False
    ) -> tuple[Forecast | None, "Demand"]:
        """Look one lead time and one interval ahead: what is missed now is seen one interval later.

        Args:
            seasons: once a day is known, learn how far demand rises from days rather than from the last hours.
        """
        if not self.history:
            return None, self
        known_days = self._known(lead_s, quantile) if seasons else None
        horizon_s, latest = lead_s + interval_s, self.history[-1].rate
        learnt = self.learnt
        known = learnt is not None and (learnt.cell, learnt.horizon_s) == (self.past.last, horizon_s)
        dispersed = learnt.dispersed if learnt is not None and known else dispersion(self.history)
        latest_s = max(interval_s, LEAST_SAMPLE_S)
        level = level_now(self.history, latest, latest_s=latest_s, now_s=now_s, dispersed=dispersed)
        season = known_days.season if known_days is not None else None
        if season is not None:
            smooth = mean(self.history, now_s - season.span_s, now_s, level)
            up = season.rise(level, smooth, now_s=now_s, horizon_s=horizon_s, dispersed=dispersed)
            learnt = Learnt(cell=self.past.last, horizon_s=horizon_s, dispersed=dispersed, rise=up)
        elif learnt is None or not known:
            up = rise(self.past, level, horizon_s=horizon_s, quantile=quantile, dispersed=dispersed)
            learnt = Learnt(cell=self.past.last, horizon_s=horizon_s, dispersed=dispersed, rise=up)
        ahead = forecast(self.history, level, learnt.rise, now_s=now_s, horizon_s=horizon_s, quantile=quantile)
        return ahead, replace(self, learnt=learnt, known=known_days)

    def _known(self, lead_s: float, quantile: float) -> Known:
        hour, known = self.days.end // HOUR, self.known
        if known is not None and known.hour == hour and known.lead_s / ALIKE <= lead_s <= known.lead_s * ALIKE:
            return known
        return Known(hour=hour, lead_s=lead_s, season=learn(self.days, lead_s=lead_s, budget=1 - quantile))
