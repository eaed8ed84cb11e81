"""The histogram that counts tokens: cumulative by edge, as Prometheus has it."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.telemetry.edge_counts import EdgeCounts

EDGES = (1.0, 7.0, 10.0, 100.0)


def samples(histogram: EdgeCounts) -> list[tuple[str, dict[str, str], float]]:
    (family,) = histogram.collect()
    return [(sample.name, sample.labels, sample.value) for sample in family.samples]


@given(st.lists(st.tuples(st.floats(0, 2000) | st.sampled_from(EDGES), st.integers(1, 5)), max_size=50))
def test_each_value_counts_at_every_edge_that_it_does_not_exceed(values: list[tuple[float, int]]) -> None:
    """A value on an edge belongs to that edge; count and sum are those of all."""
    histogram = EdgeCounts("h", "d", EDGES)
    for value, times in values:
        histogram.observe(value, times)
    for name, labels, seen in samples(histogram):
        if name == "h_bucket":
            edge = float(labels["le"].replace("+Inf", "inf"))
            assert seen == sum(times for value, times in values if value <= edge)
    assert histogram.count == sum(times for _, times in values)
    assert histogram.total == sum(value * times for value, times in values)


def test_a_weight_equals_as_many_plain_observations() -> None:
    """A step of a hundred sequences is one observation."""
    weighted, plain = EdgeCounts("h", "d", EDGES), EdgeCounts("h", "d", EDGES)
    for value, times in ((0.5, 3), (1.0, 2), (12.5, 4)):
        weighted.observe(value, times)
        for _ in range(times):
            plain.observe(value)
    assert samples(weighted) == samples(plain)


def test_every_sample_carries_the_labels() -> None:
    """vLLM tells its model and engine with each."""
    histogram = EdgeCounts("h", "d", EDGES, labels=("model_name", "engine"), label_values=("m", "0"))
    for _, labels, _ in samples(histogram):
        assert {**labels, "le": ""} == {"model_name": "m", "engine": "0", "le": ""}
