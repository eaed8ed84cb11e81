"""Whether each engine can hold one request of the length that it takes, told by file and field before anything runs."""

from collections.abc import Callable

from penstock.errors import InputError
from penstock.messages.spec import ComponentSpec, DeploymentBody, InferenceDeployment

_GIB = 2**30


def check_kv(
    deployment: InferenceDeployment,
    source: str,
    *,
    bytes_per_token: Callable[[DeploymentBody, ComponentSpec], float] | None = None,
) -> None:
    """Refuse engines in whose KV blocks a request of `maxModelLen` never fits: vLLM doesn't start either.

    Args:
        bytes_per_token: of a replica's KV, if the shape of the model is known.
    Raises: InputError, that says by how many blocks.
    """
    body = deployment.spec
    for place, component in enumerate(body.components):
        engine = component.engine
        # The last token is sampled, never computed, so it needs no room.
        blocks = -(-(engine.max_model_len - 1) // engine.block_tokens)
        missing = blocks - engine.kv_blocks
        if missing <= 0 or component not in body.pools:
            continue
        size = ""
        if bytes_per_token is not None and engine.profile is not None:
            gib = missing * engine.block_tokens * bytes_per_token(body, component) / _GIB
            size = f", {gib:.1f} GiB"
        raise InputError(
            f"{source}: spec.components[{place}].engine.kvBlocks",
            f"{engine.kv_blocks} are {missing:,} too few{size} for one request of maxModelLen {engine.max_model_len}",
            f"raise it to {blocks}, or lower maxModelLen to {engine.kv_blocks * engine.block_tokens + 1}",
        )
