"""How far the step times of a deployment may be off, for runs under several seeds."""

from penstock.messages.confidence import Confidence
from penstock.messages.spec import DeploymentBody


def step_time_errors(spec: DeploymentBody) -> dict[str, Confidence]:
    """By component whose step times rest on a profile."""
    if all(pool.engine.profile is None for pool in spec.pools):
        return {}  # and profiles need not be imported
    from penstock.cli.profiles import confidences

    return confidences(spec)
