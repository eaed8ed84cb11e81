"""Profiles and model shapes that a user names, as files too; the engines of a deployment that name them, filled in."""

import json
from pathlib import Path

from penstock.errors import InputError
from penstock.hardware import profiled
from penstock.hardware.derived_engine import serving_of
from penstock.hardware.models import ModelShape, known_model, parse_config
from penstock.hardware.profile import Profile, parse_profile, shipped_profile
from penstock.hardware.profiled import SHIPPED, shape_of
from penstock.messages.confidence import Confidence
from penstock.messages.spec import ComponentSpec, DeploymentBody, InferenceDeployment


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


def read_shape(name: str, *, where: str) -> ModelShape:
    """A known model, or one described by a config.json on this machine. Raises: InputError."""
    path = Path(name)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        return known_model(name, where=where)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(file), f"is no config.json ({error})", "give the model's config.json") from error
    if not isinstance(config, dict):
        raise InputError(str(file), "is no JSON object", "give the model's config.json")
    return parse_config(config, name=name, where=str(file))


def with_profiles(deployment: InferenceDeployment, *, source: str) -> InferenceDeployment:
    """The deployment with every engine filled in that names a profile. Raises: InputError, that names the field."""
    body = profiled.with_profiles(
        deployment.spec, path=f"{source}: spec", find_profile=read_profile, find_shape=read_shape
    )
    return deployment.model_copy(update={"spec": body})


def confidences(body: DeploymentBody) -> dict[str, Confidence]:
    """How far the derived step times may be off, by component; those with a profile only."""
    return {
        component.name: read_profile(profile, where="engine.profile").confidence(
            serving_of(component.engine, component.gpu, _shape(body))
        )
        for component in body.pools
        if (profile := component.engine.profile) is not None and component.gpu is not None
    }


def kv_bytes_per_token(body: DeploymentBody, component: ComponentSpec) -> float:
    """Of one replica, over all its GPUs; the component names a profile and its GPU."""
    assert component.gpu is not None
    return serving_of(component.engine, component.gpu, _shape(body)).kv_bytes_per_token


def _shape(body: DeploymentBody) -> ModelShape:
    return shape_of(body.model, path="spec.model", find_shape=read_shape)
