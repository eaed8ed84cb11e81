"""Which pods go when a pool shrinks."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from penstock.operator.deletion_cost import PodLoad, marks

PODS = st.lists(
    st.builds(
        PodLoad,
        name=st.uuids().map(str),
        ready=st.booleans(),
        age_s=st.floats(0, 1e6),
        in_flight=st.none() | st.integers(0, 9).map(float),
        cached_tokens_per_s=st.sampled_from([0.0, 5.0, 50.0]),
        stated=st.sampled_from([None, "-1", "0"]),
    ),
    max_size=8,
)


def pod(name: str, **more: object) -> PodLoad:
    return replace(PodLoad(name=name, ready=True, age_s=100.0, in_flight=0.0), **more)  # type: ignore[arg-type]


def marked(pods: list[PodLoad], wanted: int) -> list[PodLoad]:
    due = marks(pods, wanted)
    return [replace(each, stated=due.get(each.name, each.stated)) for each in pods]


def goes(pods: list[PodLoad], wanted: int) -> list[PodLoad]:
    """As a ReplicaSet deletes, which breaks ties as it likes: here in the worst way, the costliest first."""

    def rank(each: PodLoad) -> tuple[bool, int, bool, float, float]:
        busy = each.in_flight if each.in_flight is not None else 1e9
        return each.ready, int(each.stated or 0), each.in_flight is not None, -busy, -each.cached_tokens_per_s

    return sorted(pods, key=rank)[: max(0, len(pods) - wanted)]


@given(PODS, st.integers(1, 8))
def test_the_cheapest_of_the_ready_go_however_ties_are_broken(pods: list[PodLoad], wanted: int) -> None:
    """And looking again writes nothing: what was written is enough."""
    after = marked(pods, wanted)
    assert marks(after, wanted) == {}
    gone = goes(after, wanted)
    stays = [each for each in after if each not in gone and each.ready]
    for going in (each for each in gone if each.ready):
        for staying in stays:
            assert staying.in_flight is None or (going.in_flight is not None and going.in_flight <= staying.in_flight)


def test_few_requests_before_a_warm_cache_before_age() -> None:
    pods = [
        pod("busy", in_flight=3.0),
        pod("warm", cached_tokens_per_s=90.0),
        pod("old", age_s=900.0),
        pod("young", age_s=9.0),
        pod("silent", in_flight=None),
    ]
    left = [each.name for each in pods]
    for expected in ("young", "old", "warm", "busy"):
        there = [each for each in pods if each.name in left]
        assert marks(there, len(there) - 1) == {expected: "-1"}
        left.remove(expected)


def test_a_pod_that_is_not_ready_goes_without_a_mark() -> None:
    assert marks([pod("a"), pod("b"), pod("c", ready=False)], 2) == {}


def test_what_others_state_counts_and_stays() -> None:
    """One that somebody wants gone goes first; one that somebody wants kept is no candidate."""
    pods = [pod("a", in_flight=5.0), pod("kept", stated="100"), pod("unwanted", in_flight=9.0, stated="-100")]
    assert marks(pods, 2) == {}
    assert marks(pods, 1) == {"a": "-1"}
