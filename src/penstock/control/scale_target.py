"""Something with the scale subresource, whatever its kind: its count, its pods' labels, and a write of the count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from penstock.errors import InputError
from penstock.kubernetes.plural import plural_of
from penstock.messages.policy_spec import ScaleTargetRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a scale says. Args: selector: as text, as `status.selector` has it; empty, if it says none."""

    replicas: int
    selector: str


class ScaleTarget:
    """One target. Args: writer: the field manager of its writes."""

    def __init__(self, client: AsyncClient, namespace: str, reference: ScaleTargetRef, *, writer: str) -> None:
        group, _, version = reference.api_version.rpartition("/")
        kind = create_namespaced_resource(group, version, reference.kind, plural_of(reference.kind))
        self._client, self._namespace, self._writer = client, namespace, writer
        self._reference, self._scale = reference, kind.Scale

    def __str__(self) -> str:
        return f"{self._reference.kind} {self._reference.name}"

    async def read(self) -> Scale:
        """Raises: InputError, if it is not there, has no scale, or may not be read; httpx2.HTTPError, OSError."""
        try:
            found = await self._client.get(self._scale, self._reference.name, namespace=self._namespace)
        except httpx2.HTTPStatusError as error:
            raise self._trouble(error, "read") from error
        said: Mapping[str, Any] = found.to_dict()
        return Scale(
            replicas=int((said.get("spec") or {}).get("replicas") or 0),
            selector=str((said.get("status") or {}).get("selector") or ""),
        )

    async def write(self, replicas: int) -> None:
        """Raises: InputError, if it may not be written, or was refused; httpx2.HTTPError, OSError."""
        try:
            await self._client.patch(
                self._scale,
                self._reference.name,
                {"spec": {"replicas": replicas}},
                namespace=self._namespace,
                patch_type=PatchType.MERGE,
                field_manager=self._writer,
            )
        except httpx2.HTTPStatusError as error:
            raise self._trouble(error, "written") from error

    def _trouble(self, error: httpx2.HTTPStatusError, verb: str) -> Exception:
        """What somebody has to see to; else the error itself, which passes."""
        code = error.response.status_code
        where = f"spec.scaleTargetRef: {self}"
        said = error.status.message if isinstance(error, ApiError) else ""
        if code == 404:
            return InputError(where, "there is none with a scale", f"name one of namespace {self._namespace}")
        if code == 403 and "admission webhook" not in (said or ""):
            fix = "apply what `penstock render` prints for this policy"
            return InputError(where, f"its scale may not be {verb} by the planner", fix)
        if code in (400, 403, 422):
            return InputError(where, f"its scale was not {verb}", said or "see the API server's log")
        return error


def labels_of(selector: str) -> dict[str, str | None]:
    """A label selector as text, as labels to look for; None as a value: whatever it is.

    Raises: InputError, for what is more than labels that must be there.
    """
    labels: dict[str, str | None] = {}
    for part in filter(None, (part.strip() for part in selector.split(","))):
        name, equals, value = part.partition("=")
        if name.endswith("!") or " " in part or "(" in part or name.startswith("!"):
            raise InputError(
                "metrics.selector", f"missing, and the scale's own is more than labels ({selector})", "give the labels"
            )
        labels[name.strip()] = value.lstrip("=").strip() if equals else None
    return labels
