"""`penstock gateway`: the front door alone, before fixed workers, those in a file, or a deployment's in a cluster."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.gateway.discovery import Discovery
    from penstock.gateway.front import Front


class Routing(StrEnum):
    """How workers are chosen."""

    KV = "kv"
    LEAST_LOADED = "least-loaded"
    ROUND_ROBIN = "round-robin"


def gateway(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65_535)],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    worker: Annotated[list[str] | None, typer.Option(help="Base URL of a worker; may be given more than once.")] = None,
    workers_file: Annotated[
        Path | None, typer.Option(help="JSON list of workers, watched for changes, as `penstock up` writes it.")
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(help="In a cluster: the InferenceDeployment whose pods serve (EndpointSlices).")
    ] = None,
    namespace: Annotated[str, typer.Option(help="In a cluster: its namespace.")] = "default",
    model: Annotated[str | None, typer.Option(help="Name told by /v1/models. Default: what the workers tell.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Directory with tokenizer.json. Default: none; prompt lengths are estimated.")
    ] = None,
    routing: Annotated[Routing, typer.Option(help="How workers are chosen.")] = Routing.KV,
    ttft_s: Annotated[float, typer.Option(help="TTFT target in seconds.", min=0.001, max=600)] = 0.5,
    itl_s: Annotated[float, typer.Option(help="ITL target in seconds.", min=0.0001, max=60)] = 0.05,
    hold_max: Annotated[int, typer.Option(help="Requests held while no worker is ready.", min=0, max=1_000_000)] = 1000,
    hold_timeout_s: Annotated[
        float, typer.Option(help="Longest that a request is held.", min=0.001, max=86_400)
    ] = 300.0,
    silence_timeout_s: Annotated[
        float, typer.Option(help="Longest that a worker may be silent in an answer.", min=0.1, max=86_400)
    ] = 600.0,
    grace_s: Annotated[
        float, typer.Option(help="On SIGTERM, longest that requests in flight may take to finish.", min=0, max=86_400)
    ] = 30.0,
) -> None:
    """Serve the OpenAI API before fixed workers, those that a file lists, or the pods of a deployment in a cluster."""
    from penstock.cli.output import log_to_stderr
    from penstock.gateway.discovery import FileDiscovery, StaticDiscovery
    from penstock.gateway.settings import GatewaySettings, UpstreamLimits
    from penstock.gateway.upstream import parse_address

    given = sum((bool(worker), workers_file is not None, deployment is not None))
    if given != 1:
        what = "more than one is given" if given else "none is given"
        fix = "give --worker URL for each worker, or one --workers-file, or --deployment NAME in a cluster"
        raise InputError("--worker, --workers-file, --deployment", what, fix)
    for url in worker or ():
        parse_address(url, where="--worker")
    settings = GatewaySettings(
        host=host,
        port=port,
        model=model,
        policy=routing.value,
        slo_ttft_s=ttft_s,
        slo_itl_s=itl_s,
        hold_max=hold_max,
        hold_timeout_s=hold_timeout_s,
        grace_s=grace_s,
        upstream=UpstreamLimits(silence_timeout_s=silence_timeout_s),
    )
    log_to_stderr()
    from penstock.gateway.server import serve
    from penstock.tokenizer.tokenizer import Tokenizer

    known = Tokenizer.load(tokenizer) if tokenizer is not None else None
    if known is None:
        import logging

        logging.getLogger(__name__).warning(
            "no --tokenizer: prompt lengths are estimated, and %s",
            "routing sees no prefixes of text prompts" if routing is Routing.KV else "that is all this routing needs",
        )
    if deployment is not None:
        in_cluster = _in_cluster(deployment, namespace, model)
        serve(settings, known, in_cluster)
    elif workers_file is not None:
        path = workers_file
        serve(settings, known, lambda front: FileDiscovery(path))
    else:
        urls = list(worker or ())
        serve(settings, known, lambda front: StaticDiscovery(urls, front.pool))


def _in_cluster(deployment: str, namespace: str, model: str | None) -> "Callable[[Front], Discovery]":
    """Discovery in a cluster. Raises: InputError, without its library or a cluster."""
    try:
        from lightkube import AsyncClient
        from lightkube.core.exceptions import ConfigError
    except ImportError as error:
        raise InputError(
            "--deployment", "the Kubernetes client is not installed", "pip install 'penstock[kubernetes]'"
        ) from error
    from penstock.gateway.cluster_discovery import ClusterDiscovery
    from penstock.gateway.proven import Proven

    def discovery(front: "Front") -> "Discovery":
        return Proven(ClusterDiscovery(deployment, namespace, AsyncClient()), front.pool, model)

    try:
        AsyncClient()
    except ConfigError as error:
        raise InputError(
            "--deployment", f"no cluster is configured ({error})", "run it in a pod, or set KUBECONFIG"
        ) from error
    return discovery
