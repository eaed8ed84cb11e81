"""Loads without a queue, in closed form: a batch that only decodes, and a prompt alone."""

from penstock.calibration.closed_loop import Replay
from penstock.calibration.features import StepSums
from penstock.calibration.points import LonePrompt, SteadyDecode
from penstock.engine.batch import Batch
from penstock.hardware.serving import Serving
from penstock.hardware.steptime import attention_pairs


def replay_steady_decode(serving: Serving, load: SteadyDecode) -> Replay:
    """One step that decodes."""
    steps = StepSums(serving.model.expert_share)
    steps.add(Batch(0, 0, load.sequences, load.sequences * load.context, 1), 1)
    return Replay(ttft=None, tpot=steps.sums)


def replay_lone_prompt(serving: Serving, load: LonePrompt) -> Replay:
    """The prompt's chunks, and a step that decodes its next token."""
    steps = StepSums(serving.model.expert_share)
    done = 0
    while done < load.isl:
        tokens = min(load.isl - done, load.limits.max_num_batched_tokens)
        steps.add(Batch(tokens, attention_pairs(tokens, done), 0, 0, 1), 1)
        done += tokens
    decode = StepSums(serving.model.expert_share)
    decode.add(Batch(0, 0, 1, load.isl + 1, 1), 1)
    return Replay(ttft=steps.sums, tpot=decode.sums)
