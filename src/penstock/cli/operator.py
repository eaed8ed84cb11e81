"""`penstock operator`: keeps InferenceDeployments and ComponentPools of a cluster as they are wanted."""

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
    log_to_stderr()
    given = {
        "image": image,
        "prometheus": prometheus,
        "planner_address": planner_address,
        "keda_authentication": keda_authentication,
    }
    stated = {name: value for name, value in given.items() if value is not None}
    settings = OperatorSettings(monitors=groups[monitors], **stated)  # type: ignore[arg-type]
    asyncio.run(serve(settings, namespace=namespace, lease_namespace=lease_namespace))
