"""Profiles and model shapes that a user names, read; and the engines of a deployment that name them, filled in."""

import json
from pathlib import Path

from penstock.errors import InputError
from penstock.hardware.derived_engine import derived_engine, serving_of
from penstock.hardware.models import ModelShape, known_model, parse_config
from penstock.hardware.profile import Profile, parse_profile, shipped_profile
from penstock.messages.confidence import Confidence
from penstock.messages.spec import ComponentSpec, DeploymentBody, InferenceDeployment

SHIPPED = "shipped"


def read_profile(name: str, *, where: str) -> Profile:
    """A file of `profile fit`, or the one that ships. Raises: InputError."""
    if name == SHIPPED:
        return shipped_profile()
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(where, f"cannot be read ({reason})", "make one with `profile fit`, or say shipped") from error
    return parse_profile(text, source=name)


def read_shape(model: str, *, where: str) -> ModelShape:
    """A known model, or one described by a config.json on this machine. Raises: InputError."""
    path = Path(model)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        return known_model(model, where=where)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(file), f"is no config.json ({error})", "give the model's config.json") from error
    if not isinstance(config, dict):
        raise InputError(str(file), "is no JSON object", "give the model's config.json")
    return parse_config(config, name=model, where=str(file))


def with_profiles(deployment: InferenceDeployment, *, source: str) -> InferenceDeployment:
    """The deployment with every engine filled in that names a profile. Raises: InputError, that names the field."""
    body = deployment.spec
    components = tuple(_filled(body, index, source) for index in range(len(body.components)))
    return deployment.model_copy(update={"spec": body.model_copy(update={"components": components})})


def confidences(body: DeploymentBody) -> dict[str, Confidence]:
    """How far the derived step times may be off, by component; those with a profile only."""
    return {
        component.name: read_profile(profile, where="engine.profile").confidence(
            serving_of(component.engine, component.gpu, _shape(body, "spec"))
        )
        for component in body.pools
        if (profile := component.engine.profile) is not None and component.gpu is not None
    }


def kv_bytes_per_token(body: DeploymentBody, component: ComponentSpec) -> float:
    """Of one replica, over all its GPUs; the component names a profile and its GPU."""
    assert component.gpu is not None
    return serving_of(component.engine, component.gpu, _shape(body, "spec")).kv_bytes_per_token


def _filled(body: DeploymentBody, index: int, source: str) -> ComponentSpec:
    component = body.components[index]
    engine, gpu = component.engine, component.gpu
    if engine.profile is None:
        return component
    path = f"{source}: spec.components[{index}]"
    if gpu is None:
        raise InputError(f"{path}.gpu", "missing: a profile is of a GPU", "set gpu: {vmSize: ...}")
    profile = read_profile(engine.profile, where=f"{path}.engine.profile: {engine.profile}")
    shape = _shape(body, f"{source}: spec")
    try:
        return component.model_copy(update={"engine": derived_engine(engine, gpu, shape, profile)})
    except InputError as error:
        raise InputError(f"{path}.{error.where}", error.what, error.fix) from error


def _shape(body: DeploymentBody, path: str) -> ModelShape:
    model = body.model
    if model.shape is not None:
        return read_shape(model.shape, where=f"{path}.model.shape")
    return read_shape(model.name, where=f"{path}.model.name")
