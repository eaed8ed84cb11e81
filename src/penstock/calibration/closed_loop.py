"""A closed loop, or a burst, through the engine core: what the steps of a mean TTFT and a mean TPOT consist of.

Knows no time: see `features` for why it need not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from penstock.calibration.features import Features, MeanFeatures, StepSums
from penstock.calibration.points import Burst, ClosedLoop, Limits
from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.engine.request import EngineRequest
from penstock.hardware.serving import Serving

_BLOCK_TOKENS = 16
_SEED = 0  # lengths are drawn; one draw for all, so that points differ by what they are
NEAR_FULL = 0.9  # of the KV pool: its size is derived to about 2 %, and engines keep some of it back


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a point's steps consist of.

    Args:
        ttft, tpot: features of the mean; None, if the load has no such thing.
        kv_full: the loads' longest requests together come near or above the KV pool, so that requests wait for blocks.
    """

    ttft: Features | None
    tpot: Features | None
    kv_full: bool = False


def engine_config(serving: Serving, limits: Limits, *, kv_tokens: int, at_least: int) -> EngineConfig:
    """The engine of a point. `at_least`: tokens of its longest request, which its pool holds in any case."""
    budget = limits.max_num_batched_tokens
    return EngineConfig(
        max_num_seqs=min(limits.max_num_seqs, budget),
        max_num_batched_tokens=budget,
        block_tokens=_BLOCK_TOKENS,
        kv_blocks=max(kv_tokens, at_least) // _BLOCK_TOKENS + 1,
        prefill_first=serving.engine == "sglang",
    )


def replay_closed_loop(serving: Serving, load: ClosedLoop, *, kv_tokens: int) -> Replay:
    """Play a closed loop to its end."""
    return _play(serving, load.limits, list(_lengths(load)), users=load.users, kv_tokens=kv_tokens)


def replay_burst(serving: Serving, load: Burst, *, kv_tokens: int) -> Replay:
    """Play a burst to its end."""
    lengths = [(load.isl, load.osl)] * load.sequences
    return _play(serving, load.limits, lengths, users=load.sequences, kv_tokens=kv_tokens)


def _lengths(load: ClosedLoop) -> Iterator[tuple[int, int]]:
    random = Random(_SEED)

    def drawn(most: int) -> int:
        return random.randint(max(1, int(most * (1 - load.spread))), most)

    for _ in range(load.requests):
        yield drawn(load.isl), drawn(load.osl)


def _play(serving: Serving, limits: Limits, lengths: list[tuple[int, int]], *, users: int, kv_tokens: int) -> Replay:
    longest = max(isl + osl for isl, osl in lengths)
    engine = Engine(engine_config(serving, limits, kv_tokens=kv_tokens, at_least=longest))
    steps = StepSums(serving.model.expert_share)
    sent: dict[int, Features] = {}
    first: dict[int, Features] = {}
    ttft, tpot = MeanFeatures(), MeanFeatures()
    numbered = iter(enumerate(lengths))

    def send() -> None:
        number, (isl, osl) = next(numbered, (-1, (0, 0)))
        if number >= 0:
            sent[number] = steps.sums
            engine.add(EngineRequest(number, isl, osl))

    for _ in range(users):
        send()
    while (batch := engine.plan()) is not None:
        steps.add(batch, batch.steps)
        progress = engine.commit(batch.steps)
        for number in progress.first_tokens:
            first[number] = steps.sums
            ttft.add(sent.pop(number), steps.sums)
        for number in progress.finished:
            begun = first.pop(number)
            if lengths[number][1] > 1:
                tpot.add(begun, steps.sums, parts=lengths[number][1] - 1)
            send()
    return Replay(ttft=ttft.mean(), tpot=tpot.mean(), kv_full=users * longest > NEAR_FULL * kv_tokens)
