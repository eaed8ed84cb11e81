"""The engines of a deployment that name a profile, filled in with what it knows of them.

It reads no file: what a profile's or a model's name stands for is asked of who calls. In a cluster there are no files,
so there a profile is the one that ships and a model one of the table.
"""

from typing import Protocol

from penstock.errors import InputError
from penstock.hardware.derived_engine import derived_engine
from penstock.hardware.models import ModelShape, known_model
from penstock.hardware.profile import Profile, shipped_profile
from penstock.messages.spec import ComponentSpec, DeploymentBody, ModelSpec

SHIPPED = "shipped"


class FindProfile(Protocol):
    """The profile of a name. Raises: InputError."""

    def __call__(self, name: str, *, where: str) -> Profile: ...


class FindShape(Protocol):
    """The shape of a model by its name. Raises: InputError."""

    def __call__(self, name: str, *, where: str) -> ModelShape: ...


def known_profile(name: str, *, where: str) -> Profile:
    """The profile that ships. Raises: InputError, for any other."""
    if name != SHIPPED:
        raise InputError(where, f"no profile {name!r} in a cluster", "say shipped, or state stepTime and kvBlocks")
    return shipped_profile()


def with_profiles(
    body: DeploymentBody,
    *,
    path: str = "spec",
    find_profile: FindProfile = known_profile,
    find_shape: FindShape = known_model,
) -> DeploymentBody:
    """The deployment with every engine filled in that names a profile; what is stated stays.

    Args:
        path: of `body` in what the user wrote, for errors.
    Raises: InputError, that names the field.
    """
    components = tuple(
        with_profile(
            body.model,
            component,
            path=f"{path}.components[{index}]",
            model_path=f"{path}.model",
            find_profile=find_profile,
            find_shape=find_shape,
        )
        for index, component in enumerate(body.components)
    )
    return body.model_copy(update={"components": components})


def with_profile(
    model: ModelSpec,
    component: ComponentSpec,
    *,
    path: str = "spec.component",
    model_path: str = "spec.model",
    find_profile: FindProfile = known_profile,
    find_shape: FindShape = known_model,
) -> ComponentSpec:
    """One component, filled in. Raises: InputError, that names the field."""
    engine, gpu = component.engine, component.gpu
    if engine.profile is None:
        return component
    if gpu is None:
        raise InputError(f"{path}.gpu", "missing: a profile is of a GPU", "set gpu: {vmSize: ...}")
    profile = find_profile(engine.profile, where=f"{path}.engine.profile: {engine.profile}")
    shape = shape_of(model, path=model_path, find_shape=find_shape)
    try:
        return component.model_copy(update={"engine": derived_engine(engine, gpu, shape, profile)})
    except InputError as error:
        raise InputError(f"{path}.{error.where}", error.what, error.fix) from error


def shape_of(model: ModelSpec, *, path: str, find_shape: FindShape = known_model) -> ModelShape:
    """The model's shape, by its name or by what it names for that. Raises: InputError."""
    if model.shape is not None:
        return find_shape(model.shape, where=f"{path}.shape")
    return find_shape(model.name, where=f"{path}.name")
