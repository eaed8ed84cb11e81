"""Penstock's planner: how many replicas hold the targets for the demand that one lead time may bring.

    need = ceil((upper + waiting / work_off_s) / per_replica)

- upper: demand that is not exceeded within the lead time, at the spec's quantile (`outlook`, `forecast`).
- waiting: requests that wait beyond what a healthy pool has waiting, to be worked off within one lead time.
- per_replica: requests/s that one replica holds within the targets at the measured mix: rehearsed with the engine core
  itself (`capacity`), times a slow factor learnt from what was measured (`correction`).

Before one goes, a standard error of the demand must fit on top (`CALM_ERRORS`): a need that lies on the edge between
two counts would else start and stop a replica with every wave of chance.

The need is an absolute count, so replicas that still start count as coming and nothing runs away while they do;
draining ones do not count. By role: a prefill pool answers for first tokens, a decode pool for the ITL, an aggregated
one for both (`answers_for`). What is seen of decoding replicas must fit, whatever the model says: the KV cache in use,
and the sequences that decode at once, within the ITL (that answers have grown longer is known only when they end, which
is too late). And while a target is missed with what there is, none may go.

Then `guardrails` limit it. It does not know where it runs, what a replica costs, or the other pools.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from penstock.autoscale.answers_for import Missed, all_measured, missed, targets_of, waiting_too_many
from penstock.autoscale.arrivals import Mix
from penstock.autoscale.base import named
from penstock.autoscale.capacity import Capacity, capacity
from penstock.autoscale.correction import LOWEST, SETTLE_S, Correction, Measured, correct
from penstock.autoscale.demand import UNKNOWN_MIX, Reading, read
from penstock.autoscale.demand_history import extremes
from penstock.autoscale.estimate import sequences_at_pace
from penstock.autoscale.forecast import Forecast
from penstock.autoscale.guardrails import Guarded, GuardState, Limits, guard
from penstock.autoscale.long_history import NOTHING_BEFORE, LongHistory
from penstock.autoscale.mixture import blend, settle, settle_burstiness
from penstock.autoscale.nearby import Answer, Question, answer
from penstock.autoscale.outlook import Demand
from penstock.autoscale.planner_reason import NOBODY, Crowd, Plan, planner_reason
from penstock.autoscale.pool_size import ROUNDING, beside, replicas_for
from penstock.autoscale.rehearsal import Replica
from penstock.engine.config import EngineConfig
from penstock.hardware.steptime import StepTime
from penstock.messages.decision import Decision
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.observation import PoolSeen, Signal
from penstock.messages.scaling_spec import PlannerScaling
from penstock.messages.spec import ComponentSpec, DeploymentBody, SloSpec
from penstock.messages.worker import Role

# A backlog is never worked off in less: replicas that took seconds to start would leave at once.
LEAST_WORK_OFF_S = 10.0
KV_FULL = 0.95  # above, the next requests wait or push others out
# Of a lead time: how long fewer must have been enough, at least. Ski rental's expected time, for a rent of one start.
KEPT = 0.58
CALM_ERRORS = 1.0  # of the demand's standard error, beyond the quantile
_MEASURED_BY = {
    Signal.ISL: ("isl", "isl_p95"),
    Signal.OSL: ("osl", "osl_p95"),
    Signal.HIT_RATIO: ("hit_ratio",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerState:
    """What the planner remembers: instants and values only, bounded.

    Args:
        mix: smoothed, as of `mix_at_s`; `planned_mix`: the place on the grid that is planned for; `planned_burst`: the
            same of how bursty arrivals at one replica are; `per_replica`: what one holds there, by `pool_size.beside`.
    """

    demand: Demand = field(default_factory=Demand)
    known: frozenset[Signal] = frozenset()
    mix: Mix | None = None
    mix_at_s: float = 0.0
    planned_mix: Mix | None = None
    planned_burst: float | None = None
    per_replica: tuple[tuple[int, Answer], ...] = ()
    correction: Correction = field(default_factory=Correction)
    guard: GuardState = field(default_factory=GuardState)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerPolicy:
    """`autoscaling.by: planner`, for one component. `before`: its demand before the run, as far as is known."""

    role: Role
    scaling: PlannerScaling
    slo: SloSpec
    engine: EngineSpec
    limits: Limits
    before: LongHistory = NOTHING_BEFORE

    name = "planner"

    @classmethod
    def of(
        cls,
        spec: DeploymentBody,
        component: ComponentSpec,
        scaling: PlannerScaling,
        *,
        before: LongHistory = NOTHING_BEFORE,
    ) -> "PlannerPolicy":
        """The planner of one component. Raises: InputError, for an engine that could not run."""
        EngineConfig.from_spec(component.engine, component.role)
        limits = Limits(
            minimum=scaling.min,
            maximum=scaling.max,
            cool_in_s=scaling.cool_in_s,
            cool_out_s=scaling.cool_out_s,
            max_step_in=scaling.max_step_in,
        )
        return cls(
            role=component.role, scaling=scaling, slo=spec.slo, engine=component.engine, limits=limits, before=before
        )

    @property
    def interval_s(self) -> float:
        return self.scaling.interval_s

    def initial_state(self) -> PlannerState:
        return PlannerState(demand=Demand(days=self.before))

    def decide(self, state: PlannerState, seen: PoolSeen, *, now_s: float) -> tuple[Decision, PlannerState]:
        reading = read(seen, self.role, mix=state.mix, known=state.known, stale_after_s=self.scaling.stale_after_s)
        state = self._remembered(state, seen, reading, now_s)
        lead_s = self.lead_time_s(reading)
        # One that goes too early costs a start; one that stays, as long as it stays.
        kept_s = max(self.limits.cool_in_s, KEPT * lead_s)
        ahead, demand = state.demand.ahead(
            lead_s=lead_s,
            held_s=kept_s,
            per_replica=self._held_before(state, seen),
            late=bool(missed(self.role, self.slo, reading)),
            interval_s=self.scaling.interval_s,
            quantile=self.scaling.quantile,
            now_s=now_s,
            seasons=self.scaling.seasons,
        )
        # Of n replicas each gets about every n-th request, which is more regular than all of them.
        burst = settle_burstiness(state.planned_burst, demand.dispersed / max(1, seen.ready))
        state = replace(state, demand=demand, planned_burst=burst)
        mix = state.planned_mix or settle(None, UNKNOWN_MIX)
        answers = dict(state.per_replica)

        def held(among: int) -> Capacity:
            asked = replace(mix, dispersed=max(1.0, burst * among))
            before = answers.get(among)
            if before is None or before.asked.mix != asked:
                answers[among] = answer(before, self._question(asked, among))
            return answers[among].holds

        state = replace(state, correction=self._corrected(state, seen, reading, held(beside(seen.desired)), now_s))
        plan = self._plan(state, seen, reading, mix, held, ahead)
        state = replace(state, per_replica=tuple(answers.items()))
        guarded, guard_state = guard(
            replace(self.limits, cool_in_s=kept_s),
            state.guard,
            current=seen.desired,
            need=plan.need,
            need_now=plan.need_now,
            blocked=reading.blocked,
            now_s=now_s,
        )
        if reading.rate is None and reading.blocked and guarded.desired == seen.desired:
            guarded = replace(guarded, limited_by=reading.blocked)  # not the need held it: nobody knows the need
        return self._decision(plan, guarded, state, seen, now_s), replace(state, guard=guard_state)

    def capacity(self, mix: Mix, *, among: int = 1) -> Capacity:
        """What one replica holds at a mix, rehearsed as one of `among`."""
        asked = self._question(mix, among)
        return capacity(asked.replica, mix, asked.targets)

    @staticmethod
    def _held_before(state: PlannerState, seen: PoolSeen) -> float | None:
        """Requests/s per replica, by what was rehearsed for a pool of this size."""
        before = dict(state.per_replica).get(beside(seen.desired))
        return before.holds.rate * state.correction.factor if before else None

    def _question(self, mix: Mix, among: int) -> Question:
        transfer_s = self.engine.kv_transfer.latency_s + mix.isl_p95 / self.engine.kv_transfer.tokens_per_second
        replica = Replica(
            config=EngineConfig.from_spec(self.engine, self.role),
            step_time=StepTime.from_spec(self.engine.step_time),
            longest=max(2, min(self.engine.max_model_len, self.engine.kv_blocks * self.engine.block_tokens)),
            pin_s=transfer_s if self.role is Role.PREFILL else 0.0,
            beside=among,
        )
        return Question(replica=replica, mix=mix, targets=targets_of(self.role, self.slo, transfer_s))

    def _remembered(self, state: PlannerState, seen: PoolSeen, reading: Reading, now_s: float) -> PlannerState:
        """Take in the present: demand, mix, and which signals there are."""
        new = reading.known - state.known
        state = replace(state, known=reading.known)
        if reading.rate is not None:
            at_s = now_s - seen.signals[Signal.DEMAND].age_s
            state = replace(state, demand=state.demand.noted(at_s, reading.rate))
        if reading.mix is not None:
            mix = reading.mix
            if state.mix is not None:
                # What was only assumed is no measurement: the first one replaces it.
                first = {name: getattr(mix, name) for signal in new for name in _MEASURED_BY.get(signal, ())}
                mix = blend(replace(state.mix, **first), mix, now_s - state.mix_at_s, rate=reading.rate or 0.0)
            state = replace(state, mix=mix, mix_at_s=now_s, planned_mix=settle(state.planned_mix, mix))
        return state

    def _corrected(
        self, state: PlannerState, seen: PoolSeen, reading: Reading, held: Capacity, now_s: float
    ) -> Correction:
        """Compare what was measured with what was rehearsed; nothing is learnt while demand is unknown."""
        loads = None
        rates = extremes(state.demand.history, since_s=now_s - SETTLE_S)
        if reading.rate is not None and seen.ready and rates is not None:
            per_rehearsed = seen.ready * held.rate
            loads = rates[0] / per_rehearsed, rates[1] / per_rehearsed
        on_time = None
        missing = missed(self.role, self.slo, reading)
        waiting = waiting_too_many(self.slo, reading)
        # First tokens come out of decode: late without a queue here, they may be the fault of a full pool there.
        own = self.role is not Role.PREFILL or waiting or not missing
        if held.relaxed == 1.0 and own and (missing or all_measured(self.role, self.slo, reading)):
            on_time = not missing
        measured = Measured(
            steady=seen.ready == seen.desired and not seen.starting,
            loads=loads,
            held=on_time,
            waiting=waiting,
        )
        return correct(state.correction, measured, now_s=now_s)

    def _missed_with_fewer(self, seen: PoolSeen, reading: Reading, held: Capacity) -> tuple[Missed, ...]:
        """Missed targets that one replica less could make worse: not those of a pool that has next to nothing to do."""
        if held.relaxed > 1.0 or reading.rate is None or not 1 <= seen.desired <= self.limits.maximum:
            return ()
        idle = reading.rate <= LOWEST * held.rate * (seen.desired - 1)
        return () if idle else missed(self.role, self.slo, reading)

    def _plan(
        self,
        state: PlannerState,
        seen: PoolSeen,
        reading: Reading,
        mix: Mix,
        held_among: Callable[[int], Capacity],
        ahead: Forecast | None,
    ) -> Plan:
        def count(rate: float) -> int:
            return replicas_for(
                rate, lambda among: held_among(among).rate * state.correction.factor, about=seen.desired
            )

        work_off_s = max(self.lead_time_s(reading), LEAST_WORK_OFF_S)
        waiting = waiting_too_many(self.slo, reading)
        extra = waiting / work_off_s
        kv_need = 0
        if reading.kv_usage is not None and self.role is not Role.PREFILL:
            kv_need = math.ceil(seen.ready * reading.kv_usage / KV_FULL - ROUNDING)
        level, upper = (ahead.level, ahead.upper) if ahead else (0.0, 0.0)
        # While anybody wants anything, one replica at least; else a single one left need not stay.
        least = 0 if reading.silent else 1
        need = count(upper + extra)
        held = held_among(beside(need))
        crowd = self._crowd(seen, reading, mix, held)
        kv_need = kv_need if kv_need > need else 0  # else it decides nothing
        need = max(need, kv_need)
        need_now = max(count(level + extra), kv_need)
        need_now = max(need_now, crowd.need)
        crowd = crowd if crowd.need > need else NOBODY  # else it decides nothing
        need = max(need, crowd.need)
        calm = CALM_ERRORS * ahead.error if ahead else 0.0
        calm_need = min(count(upper + calm + extra), seen.desired)
        calm = calm if calm_need > need else 0.0
        need = max(need, calm_need)
        if reading.silent and need <= 1:
            need = 0
        if seen.desired == 0 and self._asleep(reading):
            need = need_now = least = 0
        late: tuple[Missed, ...] = ()
        if need < seen.desired and (late := self._missed_with_fewer(seen, reading, held)):
            need = need_now = seen.desired
        need = max(need, least)
        return Plan(
            role=self.role,
            reading=reading,
            forecast=ahead,
            quantile=self.scaling.quantile,
            mix=mix,
            capacity=held,
            per_replica=held.rate * state.correction.factor,
            waiting=waiting,
            work_off_s=work_off_s,
            calm=calm,
            kv_need=kv_need,
            crowd=crowd,
            missed=late,
            need=need,
            need_now=min(max(need_now, least), need),
        )

    def _crowd(self, seen: PoolSeen, reading: Reading, mix: Mix, held: Capacity) -> Crowd:
        """Those who decode now. They ask for more only while the ITL is missed: a moment's crowd passes by itself."""
        target_s = held.targets.itl_s
        if target_s is None or reading.running is None:
            return NOBODY
        in_time = sequences_at_pace(StepTime.from_spec(self.engine.step_time), mix.isl + mix.osl / 2, target_s)
        need = math.ceil(reading.running / max(1.0, in_time) - ROUNDING)
        if reading.itl_s is None or reading.itl_s <= target_s:
            need = min(need, seen.desired)
        return Crowd(sequences=reading.running, in_time=max(1.0, in_time), need=need)

    def lead_time_s(self, reading: Reading) -> float:
        """From asking for a replica until it serves: measured, else a cold start as the spec has it."""
        return reading.lead_time_s if reading.lead_time_s is not None else self.engine.startup.cold_s

    @staticmethod
    def _asleep(reading: Reading) -> bool:
        """At zero, only somebody who is there wakes a pool: no forecast, and no lack of data."""
        return not reading.rate and not reading.backlog and not reading.in_flight

    def _decision(self, plan: Plan, guarded: Guarded, state: PlannerState, seen: PoolSeen, now_s: float) -> Decision:
        figures = {
            "forecast": plan.forecast.upper if plan.forecast else 0.0,
            "capacity_per_replica": plan.per_replica,
            "needed": float(plan.need),
            "needed_now": float(plan.need_now),
            "correction": state.correction.factor,
            "waiting": plan.waiting,
            "lead_time_s": self.lead_time_s(plan.reading),
            "planned_isl_tokens": plan.mix.isl,
            "planned_osl_tokens": plan.mix.osl,
            "planned_hit_ratio": plan.mix.hit_ratio,
            "planned_dispersion": plan.mix.dispersed,
        }
        if plan.forecast is not None:
            figures |= {
                "demand": plan.forecast.level,
                "trend_per_s": plan.forecast.trend_per_s,
                "spread": plan.forecast.spread,
                "noise": plan.forecast.noise,
            }
        return Decision(
            time_s=now_s,
            component=seen.component,
            policy=self.name,
            current=seen.desired,
            desired=guarded.desired,
            limited_by=guarded.limited_by,
            reason=planner_reason(plan, self.limits, guarded, current=seen.desired),
            seen=named(dict(seen.signals)),
            figures=figures,
        )
