"""The world of a ScalingPolicy, over real HTTP to its pods, with an API server of the test's own."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession, web

from penstock.control.policy_world import PolicyWorld
from penstock.control.scale_target import Scale
from penstock.control.stack_metrics import StackMetrics
from penstock.errors import InputError
from penstock.messages.decision import Decision, LimitedBy
from penstock.messages.observation import Observation, Signal
from penstock.messages.policy_spec import PolicyBody

Thing = dict[str, Any]


class Clock:
    """Tells what it is told."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s

    async def sleep_until(self, at_s: float) -> None:
        self.at_s = at_s


class Target:
    """A scale. `trouble` is raised by the next read or write."""

    def __init__(self, replicas: int) -> None:
        self.replicas, self.written = replicas, []
        self.trouble: InputError | None = None

    def __str__(self) -> str:
        return "Deployment llama"

    async def read(self) -> Scale:
        if self.trouble is not None:
            raise self.trouble
        return Scale(replicas=self.replicas, selector="app=llama")

    async def write(self, replicas: int) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.written.append(replicas)
        self.replicas = replicas


class Client:
    """Keeps the Events that are created and the statuses that are patched."""

    def __init__(self, policy: Thing) -> None:
        self.events: list[tuple[str, str]] = []
        self.patches = 0
        self._policy = policy

    async def create(self, thing: Any) -> None:
        self.events.append((thing["reason"], thing["message"]))

    async def patch(self, kind: Any, name: str, change: Thing, **_: Any) -> None:
        self.patches += 1
        self._policy.setdefault("status", {}).update(change["status"])


class Place:
    """A policy, its target and two pods that say what vLLM says."""

    def __init__(self, mode: str = "owner") -> None:
        self.policy: Thing = {"metadata": {"name": "p", "namespace": "n", "generation": 1, "uid": "u"}}
        self.client, self.target, self.clock = Client(self.policy), Target(2), Clock()
        self.ended = [0, 0]
        self.silent: set[int] = set()
        self.mode = mode

    def _pod(self, number: int) -> Thing:
        made = datetime.now(UTC) - timedelta(seconds=60)
        at = made.strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": at} for kind in ("PodScheduled", "Ready")]
        return {
            "metadata": {"name": f"pod-{number}", "uid": f"uid-{number}", "creationTimestamp": at},
            "status": {"podIP": f"127.0.0.{number + 1}", "conditions": conditions},
        }

    async def _metrics(self, request: web.Request) -> web.Response:
        number = int(request.host.partition(":")[0].rpartition(".")[2]) - 1
        if number in self.silent:
            return web.Response(status=500)
        names = {"request_success_total": self.ended[number], "num_requests_running": 1, "num_requests_waiting": 2}
        return web.Response(text="".join(f"vllm:{name} {value}\n" for name, value in names.items()))

    def run(self, story: "Callable[[PolicyWorld], Any]") -> None:
        """Play a story in this place."""

        async def play() -> None:
            app = web.Application()
            app.router.add_get("/metrics", self._metrics)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "0.0.0.0", 0)
            await site.start()
            port = runner.addresses[0][1]
            body = PolicyBody.model_validate(
                {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
                    "mode": self.mode,
                    "metrics": {"source": "vllm", "port": port},
                    "slo": {"ttftSeconds": 0.5, "itlSeconds": 0.05},
                    "autoscaling": {"by": "planner", "max": 4},
                }
            )
            try:
                async with ClientSession() as session:
                    world = PolicyWorld(
                        body,
                        "p",
                        5.0,
                        StackMetrics(body.metrics.source, body.slo, self.clock, session),
                        self.client,  # type: ignore[arg-type]
                        self.target,  # type: ignore[arg-type]
                        policy=lambda: self.policy,
                        pods=lambda: [self._pod(0), self._pod(1)],
                        frontends=lambda: (),
                        manager="penstock-planner",
                    )
                    await story(world)
            finally:
                await runner.cleanup()

        asyncio.run(play())

    async def look(self, world: PolicyWorld, at_s: float, ended: Sequence[int]) -> Observation:
        self.ended, self.clock.at_s = list(ended), at_s
        return await world.observe(at_s)

    def condition(self, kind: str) -> Thing:
        return next(one for one in self.policy["status"]["conditions"] if one["type"] == kind)


def wants(desired: int, current: int = 2) -> list[Decision]:
    return [
        Decision(
            time_s=1.0,
            component="p",
            policy="planner",
            current=current,
            desired=desired,
            limited_by=LimitedBy.NONE,
            reason="because",
        )
    ]


def test_its_pods_are_seen_with_what_their_engines_count() -> None:
    place = Place()

    async def story(world: PolicyWorld) -> None:
        await place.look(world, 0.0, [10, 20])
        seen = (await place.look(world, 2.0, [14, 26])).pools[0]
        assert (seen.component, seen.desired, seen.ready) == ("p", 2, 2)
        assert seen.signals[Signal.DEMAND].value == pytest.approx(5.0)
        assert (seen.signals[Signal.RUNNING].value, seen.signals[Signal.QUEUE].value) == (2, 4)
        assert place.condition("Ready")["status"] == "True"

    place.run(story)


def test_a_pod_that_says_nothing_makes_demand_old_and_not_small() -> None:
    place = Place()

    async def story(world: PolicyWorld) -> None:
        await place.look(world, 0.0, [10, 20])
        await place.look(world, 2.0, [14, 26])
        place.silent = {1}
        demand = (await place.look(world, 4.0, [18, 32])).pools[0].signals[Signal.DEMAND]
        assert demand.value == pytest.approx(5.0)
        assert demand.age_s == pytest.approx(2.0)

    place.run(story)


def test_the_owner_writes_the_count_and_says_why() -> None:
    place = Place()

    async def story(world: PolicyWorld) -> None:
        await place.look(world, 0.0, [0, 0])
        await world.act(wants(3))
        assert place.target.written == [3]
        assert place.client.events == [("Scaled", "scaled Deployment llama from 2 to 3: because")]
        seen = await place.look(world, 0.5, [0, 0])
        assert seen.pools[0].desired == 3, "its own write counts before the scale is read again"
        assert place.condition("Scaling")["reason"] == "Owner"

    place.run(story)


@pytest.mark.parametrize(("mode", "second"), [("advise", None), ("owner", "HPA h: spec.scaleTargetRef: ...")])
def test_who_only_advises_writes_nothing_and_says_each_advice_once(mode: str, second: str | None) -> None:
    place = Place(mode)
    place.policy["status"] = {"secondOwner": second}

    async def story(world: PolicyWorld) -> None:
        for at_s, desired in enumerate((3, 3, 4, 2, 4)):
            await place.look(world, float(at_s), [0, 0])
            await world.act(wants(desired))
        assert place.target.written == []
        assert [message.split(":")[0] for _, message in place.client.events] == [
            "would scale Deployment llama from 2 to 3",
            "would scale Deployment llama from 2 to 4",
            "would scale Deployment llama from 2 to 4",
        ]
        await place.look(world, 9.0, [0, 0])
        assert place.condition("Scaling")["reason"] == ("SecondOwner" if second else "Advising")

    place.run(story)


def test_a_scale_that_cannot_be_read_or_written_is_told_and_told_no_longer_once_it_can() -> None:
    place = Place()
    refused = InputError("spec.scaleTargetRef: Deployment llama", "may not", "apply rights")

    async def story(world: PolicyWorld) -> None:
        place.target.trouble = refused
        assert (await place.look(world, 0.0, [0, 0])).pools == ()
        assert place.condition("Degraded")["message"] == str(refused)
        place.target.trouble = None
        assert (await place.look(world, 5.0, [0, 0])).pools
        assert place.condition("Degraded")["status"] == "False"
        place.target.trouble = refused
        await world.act(wants(3))
        place.target.trouble = None
        await place.look(world, 10.0, [0, 0])
        assert place.condition("Degraded")["message"] == str(refused), "reading is not writing"
        await world.act(wants(3))
        await place.look(world, 11.0, [0, 0])
        assert place.condition("Degraded")["status"] == "False"

    place.run(story)


def test_while_nothing_changes_nothing_is_written() -> None:
    place = Place()

    async def story(world: PolicyWorld) -> None:
        for at_s in range(3):
            await place.look(world, float(at_s), [0, 0])
        before = place.client.patches
        for at_s in range(3, 20):
            await place.look(world, float(at_s), [0, 0])
            await world.act(wants(2))
        assert place.client.patches <= before + 1, "the first decision is news, the others are not"
        assert place.client.events == []

    place.run(story)
