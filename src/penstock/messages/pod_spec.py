"""What a component's pods need in a cluster beyond what its engine says; other worlds ignore it."""

from typing import Annotated, Any

from pydantic import Field

from penstock.messages.fields import SpecModel

EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]


class PodSpec(SpecModel):
    """The pods of a component, in a cluster."""

    image: str | None = Field(default=None, min_length=1, max_length=1024)
    """Container image. Default: the operator's for this kind of engine."""
    args: tuple[str, ...] = Field(default=(), max_length=256)
    """Arguments for the engine, after Penstock's own."""
    env: dict[EnvName, str] = Field(default_factory=dict, max_length=256)
    """Environment variables. For secrets use `template`: what stands here can be read by all who see the object."""
    cache_path: str | None = Field(default=None, pattern=r"^/[^:]*$", max_length=1024)
    """Folder of the node in which a real engine keeps the weights that it fetched, for the next pod there: a local
    disk, as `/mnt/weights`. Such a volume (`hostPath`) has to be allowed in the namespace. Default: each pod fetches
    them."""
    template: dict[str, Any] = Field(default_factory=dict)
    """A PodTemplateSpec, as far as it is to differ: merged over Penstock's own; containers, volumes and the like by
    name. The engine's container is called `engine`, the frontend's `gateway`."""
