"""A workload file is played as it says, wherever a trace may stand; what is wrong with one is told in one line."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from penstock.errors import InputError
from penstock.workload.arrival import Arrival
from penstock.workload.detect import open_trace
from penstock.workload.stats import workload_stats

EXAMPLES = Path(__file__).parents[2] / "examples" / "workloads"
TRACE = "".join(
    f'{{"arrival_s": {at_s}, "input_tokens": 100, "output_tokens": 10, "prefix_blocks": [1, {at_s}], '
    '"block_tokens": 64}\n'
    for at_s in range(10)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.jsonl").write_text(TRACE)
    return tmp_path


def workload(folder: Path, spec: str, name: str = "w.yaml") -> str:
    path = folder / name
    path.write_text(f"apiVersion: penstock.dev/v1alpha1\nkind: Workload\nspec: {spec}\n")
    return str(path)


def play(folder: Path, spec: str, seed: int = 0) -> list[Arrival]:
    return list(open_trace(workload(folder, spec)).arrivals(seed=seed))


def times(arrivals: list[Arrival]) -> list[float]:
    return [arrival.arrival_s for arrival in arrivals]


def test_phases_follow_one_another(folder: Path) -> None:
    """A cut lasts as long as it says, a trace until its last request, each time it is played."""
    spec = """{phases: [
      {trace: t.jsonl, startSeconds: 4, durationSeconds: 3, speed: 2},
      {trace: t.jsonl, startSeconds: 8, repeat: 2},
      {trace: t.jsonl, durationSeconds: 1, delaySeconds: 5}]}"""
    assert times(play(folder, spec)) == [0, 0.5, 1, 1.5, 2.5, 2.5, 3.5, 8.5]


def test_overlaid_parts_come_at_the_same_time(folder: Path) -> None:
    """In order of time; the whole lasts as long as the longest."""
    spec = """{phases: [{overlay: [{trace: t.jsonl, durationSeconds: 2}, {trace: t.jsonl, delaySeconds: 0.5,
      durationSeconds: 3}]}, {trace: t.jsonl, durationSeconds: 1}]}"""
    assert times(play(folder, spec)) == [0, 0.5, 1, 1.5, 2.5, 3.5]


def test_a_part_is_thinned_and_stretched(folder: Path) -> None:
    """Shares by chance, lengths to the token; a block that was cut short names no longer text."""
    long = play(folder, "{trace: t.jsonl, inputTimes: 1.5, outputTimes: 0.01}")
    assert {(a.input_tokens, a.output_tokens, len(a.prefix_blocks)) for a in long} == {(150, 1, 1)}
    short = play(folder, "{trace: t.jsonl, inputTimes: 0.5}")
    assert {(a.input_tokens, len(a.prefix_blocks)) for a in short} == {(50, 1)}
    kept = play(folder, "{trace: t.jsonl, repeat: 200, share: 0.25}")
    assert len(kept) == pytest.approx(500, rel=0.15)


def test_equal_ids_of_different_files_are_different_text(folder: Path) -> None:
    """And those of one file played twice the same."""
    (folder / "other.jsonl").write_text(TRACE)
    spec = "{phases: [{trace: t.jsonl}, {trace: other.jsonl}, {trace: t.jsonl}]}"
    found = play(folder, spec)
    first, other, again = ({a.prefix_blocks for a in found[start : start + 10]} for start in (0, 10, 20))
    assert first == again
    assert not {id_ for blocks in first for id_ in blocks} & {id_ for blocks in other for id_ in blocks}


def test_a_generator_that_repeats_draws_anew_under_the_same_system_prompt(folder: Path) -> None:
    """Other instants and other conversations."""
    spec = """{repeat: 2, generate: {durationSeconds: 50, rate: {requestsPerSecond: 2}, sessions: {turns: 2},
      systemPrompts: {tokens: 512}}}"""
    found = play(folder, spec)
    halves = [[a for a in found if start_s <= a.arrival_s < start_s + 50] for start_s in (0, 50)]
    assert [at_s - 50 for at_s in times(halves[1])] != times(halves[0])
    assert len({a.prefix_blocks[0] for a in found}) == 1
    said = [{block for a in half for block in a.prefix_blocks[1:]} for half in halves]
    assert not said[0] & said[1]


def test_parts_do_not_move_one_another(folder: Path) -> None:
    """What a generator draws depends on its place and the seeds, not on its neighbours."""
    spec = "{phases: [{trace: t.jsonl}, {generate: {durationSeconds: 20}}]}"
    later = play(folder, spec)[10:]
    longer = play(folder, spec.replace("{trace: t.jsonl}", "{trace: t.jsonl, repeat: 2}"))[20:]
    assert [a.arrival_s - 18 for a in longer] == pytest.approx([a.arrival_s - 9 for a in later])
    assert play(folder, spec, seed=1)[10:] != later
    assert play(folder, spec.replace("phases", "seed: 1, phases"))[10:] != later


def test_lengths_are_those_of_a_trace(folder: Path) -> None:
    """Named as a trace is."""
    found = play(folder, "{generate: {durationSeconds: 20, lengthsFrom: t.jsonl}}")
    assert {(a.input_tokens, a.output_tokens) for a in found} == {(100, 10)}


@pytest.mark.parametrize(
    ("spec", "where", "says"),
    [
        ("{}", "w.yaml: spec", "says nothing to play"),
        ("{trace: t.jsonl, phases: [{trace: t.jsonl}]}", "w.yaml: spec", "trace and phases"),
        ("{trace: none}", "w.yaml: none", "no such trace"),
        ("{trace: w.yaml}", "w.yaml: w.yaml", "plays itself"),
        ("{generate: {durationSeconds: .nan}}", "spec.generate.durationSeconds", "finite"),
        ("{generate: {durationSeconds: 5, rate: {spikes: {times: 2}}}}", "generate.rate.spikes", "everySeconds"),
        ("{generate: {durationSeconds: 5, rate: {points: [[5, 1], [4, 1]]}}}", "generate.rate.points", "go back"),
        ("{generate: {durationSeconds: 5, rate: {states: [{times: 1, dwellSeconds: 1}]}}}", "rate.states", "two"),
        ("{generate: {durationSeconds: 5, input: {mean: 50000}}}", "generate.input.mean", "above max"),
        ("{generate: {durationSecond: 5}}", "generate.durationSecond", "did you mean durationSeconds"),
        ("[", "w.yaml line", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_by_field(folder: Path, spec: str, where: str, says: str) -> None:
    """One line, with what would be right."""
    with pytest.raises(InputError) as caught:
        play(folder, spec)
    assert where in caught.value.where
    assert says in str(caught.value)


def test_a_bad_line_of_a_part_is_told_by_its_line(folder: Path) -> None:
    """With the workload that plays it."""
    (folder / "t.jsonl").write_text(TRACE + "oops\n")
    with pytest.raises(InputError, match=r"w.yaml: t.jsonl line 11: not JSON"):
        play(folder, "{trace: t.jsonl}")


def first_hour(name: str) -> Iterator[Arrival]:
    return islice(open_trace(EXAMPLES / name).arrivals(), 3000)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_examples_play_the_same_each_time(name: str) -> None:
    """And begin with a line that says what they are."""
    assert list(first_hour(name)) == list(first_hour(name))
    assert (EXAMPLES / name).read_text().startswith("# ")


def test_the_day_has_a_million_requests_and_spikes_within_a_minute() -> None:
    """Streamed: counted by the second as it goes by."""
    stats = workload_stats(open_trace(EXAMPLES / "day.yaml").arrivals())
    assert stats.requests == pytest.approx(1_000_000, rel=0.005)
    per_minute = stats.requests_by_minute
    assert len(per_minute) == 1440
    rises = [after / before for before, after in zip(per_minute, per_minute[2:], strict=False)]
    assert sum(rise > 1.9 for rise in rises) >= 5
    assert max(per_minute) > 5 * min(per_minute)
