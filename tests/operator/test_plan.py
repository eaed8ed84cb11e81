"""What is to be written so that what should exist does."""

import copy
from typing import Any

import pytest

from penstock.operator.plan import APPLIED, Taken, came_back, object_key, stamped, steps, up_to_date

OWNER = {"apiVersion": "penstock.dev/v1alpha1", "kind": "ComponentPool", "metadata": {"name": "p", "uid": "1"}}
OTHER = OWNER | {"metadata": {"name": "p", "uid": "2"}}


def thing(name: str = "a", kind: str = "Service", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def live(made: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As the API server has it: with fields and list entries' fields that it or others added."""
    kept = copy.deepcopy(stamped(made, OWNER))
    kept["metadata"] |= {"uid": "9", "resourceVersion": "3", "labels": {"team": "a"}}
    kept["spec"] |= {"clusterIP": "10.0.0.1"} | more
    kept["status"] = {}
    return kept


def test_what_is_missing_is_applied_with_its_owner() -> None:
    (step,) = steps(OWNER, [thing(ports=[80])], [])
    assert step.verb == "apply"
    assert step.thing["metadata"]["ownerReferences"][0]["uid"] == "1"


def test_nothing_is_written_when_nothing_changed() -> None:
    """Whatever the API server and others added."""
    made = thing(ports=[{"port": 80}])
    kept = live(made)
    kept["spec"]["ports"][0]["nodePort"] = 31000
    assert steps(OWNER, [made], [kept]) == ()


def test_what_the_api_server_says_in_other_words_is_written_once() -> None:
    """A number as a string, an empty string as nothing; until somebody bends it, or we want something else."""
    made = thing(ports=[{"port": 80, "name": ""}], cpu=1)
    kept = live(made, cpu="1")
    del kept["spec"]["ports"][0]["name"]
    (step,) = steps(OWNER, [made], [kept])
    said = came_back(step.thing, kept)
    assert said is not None
    assert steps(OWNER, [made], [kept], {object_key(made): said}) == ()
    assert came_back(step.thing, live(made)) is None
    bent = copy.deepcopy(kept)
    bent["spec"]["cpu"] = "2"
    for wanted, there in ((made, bent), (thing(ports=[{"port": 80, "name": ""}], cpu=2), kept)):
        assert [step.verb for step in steps(OWNER, [wanted], [there], {object_key(made): said})] == ["apply"]


@pytest.mark.parametrize("bent", [{"ports": [{"port": 81}]}, {"ports": []}, {"ports": [{"port": 80}, {"port": 81}]}])
def test_what_somebody_bent_is_applied_again(bent: dict[str, Any]) -> None:
    made = thing(ports=[{"port": 80}])
    assert [step.verb for step in steps(OWNER, [made], [live(made, **bent)])] == ["apply"]


def test_a_field_that_is_no_longer_wanted_is_seen_by_the_hash() -> None:
    """Comparing can't: the live object says all that is wanted, and more."""
    before, after = thing(a=1, b=2), thing(a=1)
    assert [step.verb for step in steps(OWNER, [after], [live(before)])] == ["apply"]


def test_what_is_not_wanted_any_more_goes_and_what_is_not_ours_stays() -> None:
    old, foreign = live(thing("old", kind="HPA")), live(thing("foreign"))
    foreign["metadata"]["ownerReferences"][0]["uid"] = "7"
    (step,) = steps(OWNER, [], [old, foreign])
    assert (step.verb, step.thing["metadata"]["name"]) == ("delete", "old")


@pytest.mark.parametrize("owner", [None, OTHER])
def test_what_another_owns_is_not_taken_over(owner: dict[str, Any] | None) -> None:
    """Nor what an earlier object of our owner's name owned, which is about to be collected."""
    kept = stamped(thing(), owner) if owner is not None else thing()
    with pytest.raises(Taken, match="Service a exists and is not ours"):
        steps(OWNER, [thing()], [kept])


def test_the_hash_depends_on_what_is_said_and_not_on_its_order() -> None:
    one, same = thing(a=1, b=2), thing(b=2, a=1)
    assert (
        stamped(one, OWNER)["metadata"]["annotations"][APPLIED]
        == stamped(same, OWNER)["metadata"]["annotations"][APPLIED]
        != stamped(thing(a=1, b=3), OWNER)["metadata"]["annotations"][APPLIED]
    )


def test_numbers_that_are_equal_are_equal_however_they_are_written() -> None:
    assert up_to_date({"a": 1.0}, {"a": 1})
