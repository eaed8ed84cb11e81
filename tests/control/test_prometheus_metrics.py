"""A deployment's figures from a Prometheus: what is missing, NaN, partial, old or garbage never looks like little."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_prometheus import Answer, fake_prometheus

from penstock.autoscale.policies import policy_for
from penstock.control.cluster_pods import ClusterPod
from penstock.control.health import open_session
from penstock.control.prometheus import Prometheus, PrometheusTrouble, parse_answer
from penstock.control.prometheus_metrics import ASK_EVERY_S, PrometheusMetrics
from penstock.control.prometheus_tokens import SCOPE, AzureToken, FileToken
from penstock.errors import InputError
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import PoolSeen, Signal
from penstock.messages.parse_spec import parse_spec
from penstock.messages.worker import WorkerState

SPEC = parse_spec(
    """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: d}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components:
    - {name: frontend, role: frontend}
    - {name: worker, role: worker, autoscaling: {by: planner, min: 1, max: 9, coolInSeconds: 5, staleAfterSeconds: 30}}
""",
    source="test",
).spec
KEY = ("ns", "d")


def pod(component: str, number: int, state: WorkerState = WorkerState.READY) -> ClusterPod:
    name = f"{component}-{number}"
    return ClusterPod(
        name=name, uid=name, component=component, state=state, url="http://10.0.0.1:8000",
        age_s=100.0, lead_time_s=10.0, waited=False,
    )  # fmt: skip


GATEWAYS = [pod("frontend", number) for number in range(2)]
WORKERS = [pod("worker", number) for number in range(3)]


def quiet(query: str, _: Any = None) -> Answer:
    """Two gateways and three workers that have next to nothing to do; scraped 4 s ago."""
    for part, value in (
        ("time()", 4.0),
        ("count(penstock", 2.0),
        ("count(vllm", 3.0),
        ("held", 0.0),
        ("requests_received", 0.01),
        ("prompt_tokens", 100.0),
        ("output_tokens", 10.0),
    ):
        if part in query:
            return value
    return 0.001


def without(part: str, said: Answer) -> Callable[[str, Any], Answer]:
    """As `quiet`, but for queries with this part."""
    return lambda query, headers: said if part in query else quiet(query)


class Looking:
    """Looks at a server that changes, and lets the planner decide on what is seen."""

    def __init__(self) -> None:
        self.answer: Callable[[str, Any], Answer] = quiet
        self.asked = 0
        self.now_s = 0.0
        self.policy = policy_for(SPEC, SPEC.component("worker"))
        self.state = self.policy.initial_state()

    async def begin(self, test: Callable[["Looking"], Awaitable[None]]) -> None:
        def answer(query: str, headers: Any) -> Answer:
            self.asked += 1
            return self.answer(query, headers)

        async with fake_prometheus(answer) as url, open_session() as session:
            self.metrics = PrometheusMetrics(Prometheus(session, url), KEY, SPEC)
            await test(self)

    async def look(self, seconds: float = ASK_EVERY_S, workers: list[ClusterPod] = WORKERS) -> dict[Signal, Any]:
        self.now_s += seconds
        await self.metrics.look(GATEWAYS, workers, self.now_s)
        return dict(self.metrics.signals("worker", workers, interval_s=5.0, lead_time_s=10.0, now_s=self.now_s))

    async def decide(self) -> Decision:
        seen = PoolSeen(component="worker", desired=3, starting=0, ready=3, draining=0, signals=await self.look())
        decision, self.state = self.policy.decide(self.state, seen, now_s=self.now_s)
        return decision


def looked(test: Callable[[Looking], Awaitable[None]]) -> None:
    asyncio.run(Looking().begin(test))


def test_a_value_is_as_old_as_its_scrape_and_prometheus_is_asked_every_few_seconds() -> None:
    async def test(at: Looking) -> None:
        signals = await at.look()
        assert (signals[Signal.DEMAND].value, signals[Signal.DEMAND].age_s) == (0.01, 4.0)
        asked = at.asked
        assert (await at.look(2.0))[Signal.DEMAND].age_s == 6.0
        assert at.asked == asked
        assert (await at.look(3.0))[Signal.DEMAND].age_s == 4.0
        assert at.asked == 2 * asked

    looked(test)


TWO_ELEMENTS = b'{"status": "success", "data": {"resultType": "vector", "result": [1, 2]}}'
NO_DATA = {
    "Prometheus knows nothing": lambda query, headers: None,
    "the demand is missing": without("requests_received_total", None),
    "the demand is NaN": without("rate(penstock_gateway_requests_received", float("nan")),
    "the queue is missing": without("num_requests_waiting", None),
}
TROUBLE = {
    "status 500": lambda query, headers: (500, b"no"),
    "no JSON": lambda query, headers: (200, b"<html>"),
    "another shape": lambda query, headers: (200, b'{"status": "success", "data": []}'),
    "too long": lambda query, headers: (200, b" " * (2 << 20)),
    "two elements": without("sum(rate", (200, TWO_ELEMENTS)),
    "one gateway is not scraped": without("count(penstock", 1.0),
    "one worker is not scraped": without("count(vllm", 2.0),
    "the scrapes are old": without("time()", 31.0),
}


@pytest.mark.parametrize("name", [*NO_DATA, *TROUBLE])
def test_what_is_not_known_scales_nothing_in(name: str) -> None:
    """A pool with next to nothing to do goes in once that is known, and never on what is not."""

    async def test(at: Looking) -> None:
        await at.decide()  # a first count is somebody's choice, and stays for a cool-in
        at.answer = {**NO_DATA, **TROUBLE}[name]
        at.now_s += 60.0
        last = [await at.decide() for _ in range(12)][-1]
        assert last.desired == 3
        assert last.limited_by in (LimitedBy.MISSING_DATA, LimitedBy.STALE_DATA)
        at.answer = quiet
        assert min([(await at.decide()).desired for _ in range(12)]) < 3

    looked(test)


@pytest.mark.parametrize("name", sorted(TROUBLE.keys() - {"the scrapes are old"}))
def test_in_trouble_what_was_known_stays_and_grows_old(name: str) -> None:
    async def test(at: Looking) -> None:
        before = await at.look()
        at.answer = TROUBLE[name]
        after = await at.look()
        signal = Signal.QUEUE if "worker" in name else Signal.DEMAND
        assert after[signal].value == before[signal].value
        assert after[signal].age_s == before[signal].age_s + ASK_EVERY_S

    looked(test)


def test_without_engines_none_has_anything_inside() -> None:
    """At zero nothing is asked of engines, and what gateways hold is what counts."""

    async def test(at: Looking) -> None:
        at.answer = lambda query, headers: None if "vllm" in query else 3.0 if "held" in query else quiet(query)
        signals = await at.look(workers=[])
        assert [signals[one].value for one in (Signal.HELD, Signal.QUEUE, Signal.IN_FLIGHT)] == [3.0, 0.0, 0.0]
        assert Signal.KV_USAGE not in signals

    looked(test)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"status": "error", "error": "x\\ny"}', b'{"status": "success"}']
)
def test_an_answer_of_another_shape_is_trouble_in_one_line(body: bytes) -> None:
    with pytest.raises(PrometheusTrouble) as caught:
        parse_answer(200, body)
    assert "\n" not in str(caught.value)


def test_a_tokens_file_is_read_anew_for_each_call_and_its_lack_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with pytest.raises(InputError, match="--prometheus-token-file"):
        FileToken(file)
    file.write_text("first\n")
    token, sent = FileToken(file), []

    async def ask() -> None:
        async with (
            fake_prometheus(lambda query, headers: sent.append(headers.get("Authorization")) or 1.0) as url,
            open_session() as session,
        ):
            server = Prometheus(session, url, token)
            await server.number("up")
            file.write_text("second")
            await server.number("up")
            file.write_text("two\nlines")
            with pytest.raises(PrometheusTrouble, match="no token") as caught:
                await server.number("up")
            assert "lines" not in str(caught.value)

    asyncio.run(ask())
    assert sent == ["Bearer first", "Bearer second"]


def test_an_azure_workload_identity_gets_a_token_for_prometheus_once_and_renews_it_before_its_end(
    tmp_path: Path,
) -> None:
    """By the token of its service account, as it is in the file at that moment; asked at once, asked once."""
    file = tmp_path / "federated"
    file.write_text("of-the-pod")
    forms: list[dict[str, str]] = []
    now_s = [0.0]

    async def give(request: web.Request) -> web.Response:
        assert request.path == "/my-tenant/oauth2/v2.0/token"
        forms.append(dict(await request.post()))
        if len(forms) == 3:
            return web.json_response({"error": "no"}, status=400)
        return web.json_response({"access_token": f"token-{len(forms)}", "expires_in": 3600})

    async def ask() -> None:
        app = web.Application()
        app.router.add_post("/{tenant}/oauth2/v2.0/token", give)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        environment = {
            "AZURE_TENANT_ID": "my-tenant",
            "AZURE_CLIENT_ID": "me",
            "AZURE_FEDERATED_TOKEN_FILE": str(file),
            "AZURE_AUTHORITY_HOST": f"http://127.0.0.1:{runner.addresses[0][1]}/",
        }
        token = AzureToken.of(environment, clock=lambda: now_s[0])
        async with open_session() as session:
            assert set(await asyncio.gather(*(token.bearer(session) for _ in range(5)))) == {"token-1"}
            now_s[0] = 3299.0
            assert await token.bearer(session) == "token-1"
            now_s[0] = 3300.0
            file.write_text("renewed")
            assert await token.bearer(session) == "token-2"
            now_s[0] = 9000.0
            with pytest.raises(PrometheusTrouble, match="no token"):
                await token.bearer(session)
        await runner.cleanup()

    asyncio.run(ask())
    assert [form["client_assertion"] for form in forms] == ["of-the-pod", "renewed", "renewed"]
    assert (forms[0]["client_id"], forms[0]["scope"], forms[0]["grant_type"]) == ("me", SCOPE, "client_credentials")


def test_without_a_workload_identity_it_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE not set"):
        AzureToken.of({"AZURE_TENANT_ID": "t"}, clock=lambda: 0.0)
