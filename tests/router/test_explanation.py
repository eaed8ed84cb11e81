"""A choice explains itself."""

import json

from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role
from penstock.router.explanation import Explanation
from penstock.router.route_request import RouteRequest
from penstock.router.router import Router
from penstock.router.worker_info import WorkerInfo


def explained(*, exclude: frozenset[str] = frozenset(), workers: int = 3) -> Explanation:
    router = Router("kv", 0.5, 0.05)
    for number in range(workers):
        router.add_worker(WorkerInfo(id=f"w{number}", engine=EngineSpec()))
    router.stored("w1", range(50))
    request = RouteRequest(id="req-1", prompt_tokens=1000, block_hashes=range(60), exclude=exclude)
    return router.explain(request, 2.0)


def test_the_chosen_is_the_cheapest_and_listed_first() -> None:
    """By price, with the sum of its parts."""
    explanation = explained()
    assert [price.chosen for price in explanation.prices] == [True, False, False]
    totals = [price.total_s for price in explanation.prices]
    assert totals == sorted(totals)
    assert explanation.prices[0].worker == "w1"
    assert explanation.choice is not None
    assert explanation.choice.cost_s == totals[0]


def test_an_excluded_worker_is_priced_and_marked() -> None:
    """So that one sees what was lost."""
    explanation = explained(exclude=frozenset({"w1"}))
    w1 = next(price for price in explanation.prices if price.worker == "w1")
    assert w1.excluded
    assert not w1.chosen
    assert explanation.choice is not None
    assert explanation.choice.worker == "w0"
    assert "x w1" in explanation.to_table()


def test_json_is_plain_and_complete() -> None:
    """It goes into a response header or a log as it is."""
    document = json.loads(json.dumps(explained().to_json()))
    assert document["request"] == "req-1"
    assert document["choice"]["worker"] == "w1"
    assert document["prices"][0] == {
        **document["prices"][0],
        "worker": "w1",
        "stage": str(Role.WORKER),
        "hit_tokens": 800,
        "chosen": True,
        "excluded": False,
    }
    assert {"queue_s", "prefill_s", "transfer_s", "harm_s", "total_s"} <= document["prices"][0].keys()


def test_the_table_has_a_line_for_each_worker_and_marks_the_chosen() -> None:
    """Aligned."""
    lines = explained().to_table().splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert [line[0] for line in lines] == [" ", ">", " ", " "]


def test_the_reason_is_a_sentence_with_figures() -> None:
    """Also when there is nothing to choose from."""
    reason = explained().reason
    assert reason.startswith("By kv: w1 costs 0.0")
    assert "800 of 1000 prompt tokens cached; w0 would cost 0.0" in reason
    assert explained(workers=0).reason == "No worker can be used: none known."
    everyone = frozenset({"w0", "w1", "w2"})
    assert explained(exclude=everyone).reason == "No worker can be used: 3 known, none usable."
