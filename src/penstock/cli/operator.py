"""`penstock operator`: keeps InferenceDeployments and ComponentPools of a cluster as they are wanted."""

from collections.abc import Sequence
from typing import Annotated

import typer

from penstock.cli.output import log_to_stderr
from penstock.errors import InputError


def operator(
    namespace: Annotated[
        str | None, typer.Option(help="Watch this namespace only. Default: all.", show_default=False)
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Penstock's own image, for gateways and simulated engines.", show_default=False)
    ] = None,
    prometheus: Annotated[str | None, typer.Option(help="Base URL at which KEDA asks.", show_default=False)] = None,
    planner_address: Annotated[
        str | None, typer.Option(help="HOST:PORT at which KEDA asks the planner.", show_default=False)
    ] = None,
    keda_authentication: Annotated[
        str | None,
        typer.Option(help="TriggerAuthentication by which KEDA asks, if it must.", show_default=False),
    ] = None,
    monitors: Annotated[
        str,
        typer.Option(help="API group of PodMonitors: `monitoring.coreos.com`, `azmonitoring.coreos.com` or `none`."),
    ] = "monitoring.coreos.com",
    lease_namespace: Annotated[
        str | None,
        typer.Option(help="Where its Lease is; only who holds it acts. Default: no election.", show_default=False),
    ] = None,
    webhook_port: Annotated[
        int | None,
        typer.Option(
            help="Serve the webhook that keeps every count to one owner. Default: no webhook.",
            min=1,
            max=65_535,
            show_default=False,
        ),
    ] = None,
    writer: Annotated[
        list[str] | None,
        typer.Option(
            help="OWNER=USER that may write counts too, where this cluster gives planner, hpa or keda another user "
            "name; may be given more than once.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make and keep what InferenceDeployments and ComponentPools describe. Runs until SIGTERM."""
    import asyncio

    try:
        from penstock.operator.process import serve
    except ImportError as error:
        raise InputError(
            "penstock operator", "the Kubernetes client is not installed", "pip install 'penstock[kubernetes]'"
        ) from error
    from penstock.operator.settings import OperatorSettings

    groups = {
        "monitoring.coreos.com": "monitoring.coreos.com/v1",
        "azmonitoring.coreos.com": "azmonitoring.coreos.com/v1",
        "none": None,
    }
    if monitors not in groups:
        raise InputError("--monitors", f"no group {monitors!r}", f"name one of {', '.join(groups)}")
    if webhook_port is not None and lease_namespace is None:
        raise InputError("--webhook-port", "its Secret has no place", "give --lease-namespace, the operator's own")
    if writer and webhook_port is None:
        raise InputError("--writer", "nobody asks who writes", "give --webhook-port too, or leave it out")
    writers = _writers(writer or ())
    log_to_stderr()
    given = {
        "image": image,
        "prometheus": prometheus,
        "planner_address": planner_address,
        "keda_authentication": keda_authentication,
    }
    stated = {name: value for name, value in given.items() if value is not None}
    settings = OperatorSettings(monitors=groups[monitors], **stated)  # type: ignore[arg-type]
    asyncio.run(
        serve(
            settings,
            namespace=namespace,
            lease_namespace=lease_namespace,
            webhook_port=webhook_port,
            writers=writers,
        )
    )


def _writers(given: Sequence[str]) -> dict[str, list[str]]:
    """User names by owner."""
    found: dict[str, list[str]] = {}
    for item in given:
        owner, _, user = item.partition("=")
        if owner not in ("planner", "hpa", "keda") or not user:
            raise InputError(
                f"--writer {item}", "no owner and user", "give one such as hpa=system:kube-controller-manager"
            )
        found.setdefault(owner, []).append(user)
    return found
