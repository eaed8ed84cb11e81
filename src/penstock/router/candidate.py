"""A worker as it is priced: its load, turned into the terms of the formula in `price`.

The terms change only when something happens to the worker; `refresh` works them out then, so that pricing is a few
multiplications.

An engine without a description gets the default step time and limits; two corrections (`correction`) then learn how
far off they
are: one from TTFT (prefill), one from the mean ITL of finished requests (decode).
"""

from math import inf
from typing import Final

from penstock.hardware.linear_step_time import linear
from penstock.messages.engine_spec import EngineSpec, StepTimeSpec
from penstock.messages.worker import Role
from penstock.router.correction import Correction
from penstock.router.expected_load import ExpectedLoad
from penstock.router.worker_info import WorkerInfo, WorkerLoad

MAX_PRESSURE: Final = 4.0  # ITL of four times its target: from there on, more is not worse
MIN_USAGE: Final = 0.2  # below, rounding and idle blocks blur how much fits
CAPACITY_GAIN: Final = 0.2  # over some five measurements
DEFAULT_ENGINE = EngineSpec()


class Weights:
    """What turns load into harm: the targets, and the mean output seen so far."""

    __slots__ = ("mean_output_tokens", "slo_itl_s", "slo_ttft_s")

    def __init__(self, slo_ttft_s: float, slo_itl_s: float, mean_output_tokens: float) -> None:
        self.slo_ttft_s = slo_ttft_s
        self.slo_itl_s = slo_itl_s
        self.mean_output_tokens = mean_output_tokens


class Speed:
    """A step time's coefficients, in seconds. A copy: reading a field of the spec takes three times as long."""

    __slots__ = ("base_s", "context_token_s", "prefill_attention_s", "prefill_token_s", "sequence_s")

    def __init__(self, spec: StepTimeSpec) -> None:
        self.base_s = spec.base_s
        self.prefill_token_s = spec.prefill_token_s
        self.prefill_attention_s = spec.prefill_attention_s
        self.sequence_s = spec.sequence_s
        self.context_token_s = spec.context_token_s


class Candidate:
    """One worker: its load, corrections, and the terms of its price. Owned by the router."""

    __slots__ = (
        "attention_s",
        "batch_tokens",
        "bit",
        "busy",
        "changed",
        "context_token_s",
        "decode",
        "decode_weight",
        "drained_at_s",
        "floor_s",
        "id",
        "idle",
        "itl_cost_s",
        "known",
        "kv_capacity_tokens",
        "kv_free_tokens",
        "load",
        "prefill",
        "progress_cap_s",
        "queue_s",
        "role",
        "seats",
        "seats_short_tokens",
        "sequence_s",
        "speed",
        "stale",
        "stall_weight",
        "step_s",
        "token_drain_s",
        "token_s",
        "transfer_latency_s",
        "transfer_token_s",
        "turn",
    )

    def __init__(self, info: WorkerInfo, *, turn: int) -> None:
        engine = info.engine or DEFAULT_ENGINE
        self.known = known = info.engine is not None
        self.id = info.id
        self.role = info.role
        self.turn = turn  # when it was last chosen, as a count: the tie-break, and all of round-robin
        self.bit = 0
        self.load = ExpectedLoad()
        self.prefill = Correction(known=known)
        self.decode = Correction(known=known)
        self.speed = Speed(linear(engine.step_time))
        self.batch_tokens = engine.max_num_batched_tokens
        self.seats = engine.max_num_seqs
        # An unknown capacity limits nothing until a measurement tells how full our requests made it.
        self.kv_capacity_tokens = float(engine.kv_blocks * engine.block_tokens) if known else inf
        self.transfer_latency_s = engine.kv_transfer.latency_s
        self.transfer_token_s = 1 / engine.kv_transfer.tokens_per_second
        self.changed: list[Candidate] = []  # those of its pool whose terms are stale
        self.stale = True  # also while it is in no pool: then nothing that happens to it matters
        self.busy = False  # prompts wait there
        self.idle = False  # nothing is there, ours or others'
        self.queue_s = self.progress_cap_s = self.step_s = self.floor_s = self.drained_at_s = 0.0
        self.token_s = self.attention_s = self.sequence_s = self.context_token_s = 0.0
        self.kv_free_tokens, self.seats_short_tokens, self.token_drain_s = inf, -inf, 0.0
        self.decode_weight = self.stall_weight = self.itl_cost_s = 0.0

    def touch(self) -> None:
        """Something happened to it: its terms are to be worked out anew when its pool is next looked at."""
        if not self.stale:
            self.stale = True
            self.changed.append(self)

    def learn_capacity(self, seen: WorkerLoad) -> None:
        """Nobody said how much KV fits: take it from how full the worker is with our requests in it."""
        usage = seen.kv_usage
        if self.known or usage is None or not MIN_USAGE <= usage <= 1:
            return
        tokens = self.load.kv_tokens_at(seen.at_s)
        if tokens > 0:
            capacity = tokens / usage
            so_far = self.kv_capacity_tokens
            self.kv_capacity_tokens = capacity if so_far == inf else so_far + CAPACITY_GAIN * (capacity - so_far)

    def refresh(self, weights: Weights) -> None:
        """Work out the terms anew, from load and corrections."""
        self.stale = False
        load, speed = self.load, self.speed
        waiting, running, running_kv, kv = (
            len(load.waiting),
            float(len(load.running)),
            load.running_kv_tokens,
            load.kv_tokens,
        )
        pending_tokens, pending_s = float(load.pending_tokens), load.pending_work_s
        in_flight = waiting + running
        if load.extra < 0:  # the worker has fewer than we think: all of ours count for less
            share = max(0.0, 1 + load.extra / in_flight) if in_flight else 0.0
            running, running_kv, kv, in_flight = running * share, running_kv * share, kv * share, in_flight * share
            pending_tokens, pending_s = pending_tokens * share, pending_s * share
        elif load.extra > 0:  # others send there too: requests like ours
            mean_kv = kv / in_flight if in_flight else weights.mean_output_tokens
            more = load.extra - load.extra_waiting
            running, running_kv = running + more, running_kv + more * mean_kv
            in_flight += load.extra
            if waiting:
                pending_tokens += load.extra_waiting * pending_tokens / waiting
                pending_s += load.extra_waiting * pending_s / waiting
            else:
                pending_tokens += load.extra_waiting * mean_kv
                pending_s += load.extra_waiting * mean_kv * speed.prefill_token_s

        slower = self.decode.factor
        self.sequence_s = sequence_s = slower * speed.sequence_s
        self.context_token_s = context_token_s = slower * speed.context_token_s
        self.step_s = step_s = slower * speed.base_s + sequence_s * running + context_token_s * running_kv
        # A step computes at most `batch_tokens` of prompts: each token pays its share of what a step takes anyway.
        factor = self.prefill.factor
        token_step_s = step_s / self.batch_tokens
        self.token_s = token_s = factor * speed.prefill_token_s + token_step_s
        self.attention_s = factor * speed.prefill_attention_s

        # The head of the queue has been computed for some time; it can't be past its own work, or the batch it shares.
        queue_s = factor * pending_s + pending_tokens * token_step_s
        cap_s = 0.0
        if waiting:
            head = next(iter(load.waiting.values()))
            own_s = factor * head.work_s + head.prefill_tokens * token_step_s
            cap_s = self.batch_tokens * token_s
            if own_s > cap_s:
                cap_s = own_s
            if queue_s < cap_s:
                cap_s = queue_s
        self.progress_cap_s = cap_s
        if in_flight:
            queue_s += 0.5 * step_s  # a request arrives, on average, in the middle of a step
        self.queue_s = queue_s

        # Saturated: a request waits until enough others have left. Seats and KV are counted in one unit, KV tokens.
        mean_kv = kv / in_flight if in_flight else 0.0
        held = kv * load.kv_ratio
        self.kv_free_tokens = self.kv_capacity_tokens - held - load.kv_extra_tokens
        self.seats_short_tokens = (in_flight + 1 - self.seats) * mean_kv
        self.token_drain_s = step_s * weights.mean_output_tokens / (held if held > 1.0 else 1.0)

        if self.role is Role.PREFILL:
            self.decode_weight = self.stall_weight = itl_cost_s = 0.0
        else:
            pressure = step_s / weights.slo_itl_s
            if pressure > MAX_PRESSURE:
                pressure = MAX_PRESSURE
            self.decode_weight = decode_weight = running * pressure * weights.slo_ttft_s / weights.slo_itl_s
            self.stall_weight = decode_weight / weights.mean_output_tokens
            itl_cost_s = 0.5 * weights.slo_ttft_s * pressure * pressure
        self.itl_cost_s = itl_cost_s
        # What it costs at least, but for the request itself: at any time; and, less now, while its queue is computed.
        self.floor_s = queue_s - cap_s + itl_cost_s
        self.drained_at_s = queue_s + load.progress_from_s + itl_cost_s
        self.busy = waiting > 0
        self.idle = not in_flight
