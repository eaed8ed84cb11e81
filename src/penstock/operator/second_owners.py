"""What the operator does about second owners: sees them come and go, and says so. It takes nobody's scaler away.

The webhook refuses them; these are those that came while nobody asked it, or before there was a pool or a policy.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from lightkube import AsyncClient
from lightkube.types import PatchType

from penstock.kubernetes.events import event_about
from penstock.kubernetes.kinds import kind_of
from penstock.kubernetes.mirror import Key, Mirror, Object, key_of
from penstock.operator.objects import API_VERSION, MANAGED_BY
from penstock.operator.owners import POLICY, Known, refusal, second_owners

Named = tuple[str, Key]  # kind, namespace and name
_EVENT = kind_of("v1", "Event")


class SecondOwners:
    """A cluster's. Args: scalers: mirrors by kind, as `owners` calls them; of all there are, whoever made them."""

    def __init__(self, client: AsyncClient, pools: Mirror, deployments: Mirror, scalers: Mapping[str, Mirror]) -> None:
        self._client, self._scalers = client, scalers
        self._known = Known(pool=pools.get, deployment=deployments.get, scalers=scalers)
        self._pointed: dict[Named, Key] = {}  # where scalers pointed last, to look there when they point elsewhere

    def touched(self, thing: Object) -> Iterator[Named]:
        """The pools and policies that may have another owner now that this has changed."""
        kind, target = type(thing).__name__, _scaled(thing)
        if target is None or kind not in self._scalers:
            return
        named = kind, key_of(thing)
        for key in {target, self._pointed.pop(named, target)}:
            yield "ComponentPool", key  # a pool and its Deployment have one name
            for policy in self._scalers[POLICY]:  # there are few
                if _scaled(policy) == key:
                    yield POLICY, key_of(policy)
        if self._scalers[kind].get(named[1]) is not None:
            self._pointed[named] = target

    async def of_pool(self, pool: Object) -> list[str]:
        """Why each second owner of a pool is one; each that its status does not tell yet is an Event."""
        sentences = second_owners(pool, self._known)
        conditions = (pool.get("status") or {}).get("conditions") or ()
        told = "".join(each["message"] for each in conditions if each["type"] == "Degraded")
        for sentence in sentences:
            if sentence not in told:
                await self._warn("ComponentPool", pool, sentence)
        return sentences

    async def judge(self, policy: Object) -> None:
        """Say in a policy's status who else owns its target's count; all the rest of it is the planner's."""
        sentence = refusal(POLICY, policy, self._known)
        if sentence == (policy.get("status") or {}).get("secondOwner"):
            return
        if sentence is not None:
            await self._warn(POLICY, policy, sentence)
        namespace, name = key_of(policy)
        await self._client.patch(
            kind_of(API_VERSION, POLICY).Status,
            name,
            {"status": {"secondOwner": sentence}},
            namespace=namespace,
            patch_type=PatchType.MERGE,
            field_manager=MANAGED_BY,
        )

    async def _warn(self, kind: str, thing: Object, sentence: str) -> None:
        said = event_about(
            *(API_VERSION, kind, thing),
            reason="SecondOwner",
            message=sentence,
            by=MANAGED_BY,
            now=datetime.now(UTC),
            type="Warning",
        )
        await self._client.create(_EVENT.from_dict(said))


def _scaled(thing: Object) -> Key | None:
    """Namespace and name of what a scaler scales; None for anything else."""
    name = ((thing.get("spec") or {}).get("scaleTargetRef") or {}).get("name")
    return None if name is None else (key_of(thing)[0], name)
