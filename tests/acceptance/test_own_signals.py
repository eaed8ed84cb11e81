"""Each pool is scaled on its own signals: real deployments under `penstock load`, and what their decisions say.

Prompts take 0.16 s of a replica each and answers are short, or the other way round: 12 sequences at once are what one
replica decodes at the ITL that is asked for, and answers have 120 tokens. Half as many requests come then, so that
nothing but their lengths can be the reason.
"""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.messages.decision import Decision
from penstock.telemetry.journal import read_decisions
from running_up import running_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TTFT_S, ITL_S = 1.0, 0.06
SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {{name: own-signals}}
spec:
  model: {{name: penstock/tiny}}
  slo: {{ttftSeconds: {ttft_s}, itlSeconds: {itl_s}, windowSeconds: 10}}
  components:
"""
POOL = """
    - name: {role}
      role: {role}
      engine:
        stepTime: {{baseSeconds: 0.01, prefillTokenSeconds: 2.0e-4, sequenceSeconds: 0.004, contextTokenSeconds: 0}}
        startup: {{coldSeconds: 0.5, warmSeconds: 0.5}}
      autoscaling: {{by: planner, min: 1, max: 4, intervalSeconds: 1}}
"""


@dataclass(frozen=True)
class Phase:
    """So many requests per second for so long."""

    seconds: float
    rate: float
    prompt_tokens: int
    output_tokens: int


LONG_PROMPTS = Phase(14, 6, prompt_tokens=750, output_tokens=4)
LONG_ANSWERS = Phase(14, 3, prompt_tokens=40, output_tokens=120)


def first(of: Phase) -> Phase:
    """One request alone: until one was answered, the length of answers is assumed, and more would scale on that."""
    return Phase(4, 0.25, of.prompt_tokens, of.output_tokens)


def lines(phases: Iterable[Phase]) -> Iterator[str]:
    """A trace in Penstock's own format."""
    begin_s, draw = 0.0, random.Random(1)
    for phase in phases:
        for number in range(round(phase.seconds * phase.rate)):
            at_s = begin_s + (number + draw.random()) / phase.rate
            row = {"arrival_s": at_s, "input_tokens": phase.prompt_tokens, "output_tokens": phase.output_tokens}
            yield json.dumps(row)
        begin_s += phase.seconds


@dataclass(frozen=True)
class Record:
    """What came of a replay: the client's document, the decisions, and when each phase was over."""

    client: dict[str, Any]
    decisions: list[Decision]
    ends_s: list[float]

    def of(self, pool: str, phase: int) -> list[Decision]:
        """A pool's decisions while a phase lasted, on the deployment's clock."""
        begin_s = self.ends_s[phase - 1] if phase else 0.0
        return [d for d in self.decisions if d.component == pool and begin_s <= d.time_s < self.ends_s[phase]]


def replay(folder: Path, pools: Sequence[str], *phases: Phase) -> Record:
    """Serve the pools with `penstock up`, and have `penstock load` replay the phases against them."""
    spec, trace, out = folder / "deployment.yaml", folder / "trace.jsonl", folder / "out"
    spec.write_text(SPEC.format(ttft_s=TTFT_S, itl_s=ITL_S) + "".join(POOL.format(role=role) for role in pools))
    trace.write_text("\n".join(lines(phases)))
    with running_up(spec, "--out", str(out)) as up:
        up.until(lambda: up.serves_with(len(pools)))
        load = [sys.executable, "-m", "penstock.cli.program", "load", up.url, "--trace", str(trace), "--json"]
        done = subprocess.run(load, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        code, _ = up.end()
        assert code == 0, up.errors
    client = json.loads(done.stdout)
    began_s = client["client"]["began_unix_s"] - json.loads((out / "run.json").read_text())["started_unix_s"]
    ends_s = [began_s + sum(phase.seconds for phase in phases[: number + 1]) for number in range(len(phases))]
    return Record(client, list(read_decisions(out / "decisions.jsonl")), ends_s)


def growth(decisions: list[Decision]) -> list[Decision]:
    return [decision for decision in decisions if decision.desired > decision.current]


def test_prefill_grows_for_long_prompts_and_decode_for_long_answers(
    tmp_path: Path, record_property: Callable[..., None]
) -> None:
    record = replay(tmp_path, ("prefill", "decode"), first(LONG_PROMPTS), LONG_PROMPTS, LONG_ANSWERS)
    assert record.client["requests"]["failed"] == record.client["requests"]["rejected"] == 0
    prefill, decode = growth(record.of("prefill", 1)), growth(record.of("decode", 2))
    for decision in (*prefill, *decode):
        record_property("figures", f"{decision.time_s:.0f} s {decision.component}: {decision.reason}")
    assert prefill, "long prompts need more than one replica that prefills"
    assert not growth(record.of("decode", 1)), "and no more that decode"
    assert all("within TTFT" in decision.reason and "ITL" not in decision.reason for decision in prefill)
    assert decode, "long answers need more than one replica that decodes"
    assert not growth(record.of("prefill", 2)[5:]), "and no more that prefill, once those waiting are served"
    assert all("within ITL" in decision.reason and "TTFT" not in decision.reason for decision in decode)


def test_an_aggregated_pool_answers_for_both(tmp_path: Path, record_property: Callable[..., None]) -> None:
    """The demo's pool grows for prompts; here it is the answers."""
    record = replay(tmp_path, ("worker",), first(LONG_ANSWERS), LONG_ANSWERS)
    assert record.client["requests"]["failed"] == record.client["requests"]["rejected"] == 0
    grown = growth(record.of("worker", 1))
    for decision in grown:
        record_property("figures", f"{decision.time_s:.0f} s {decision.component}: {decision.reason}")
    assert grown
    assert all("within TTFT 1 s and ITL 60 ms" in decision.reason for decision in grown)
