"""`penstock render`: what the operator would apply for a deployment file; what a ScalingPolicy's planner may do."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import print_document, print_text, read_spec, read_text
from penstock.messages.policy_spec import ScalingPolicy


class What(StrEnum):
    """Which manifests."""

    KUBERNETES = "kubernetes"
    HPA = "hpa"
    KEDA = "keda"
    CRDS = "crds"
    OPERATOR = "operator"


_KINDS = {What.HPA: "HorizontalPodAutoscaler", What.KEDA: "ScaledObject"}


def render(
    spec: Annotated[
        Path | None,
        typer.Argument(help="Deployment file, or ScalingPolicy; none for CRDs and operator.", show_default=False),
    ] = None,
    what: Annotated[
        What, typer.Option("--for", help="All of it; only its autoscalers; or what installs Penstock.")
    ] = What.KUBERNETES,
    namespace: Annotated[
        str | None, typer.Option(help="Namespace. Default: the file's, else `default`.", show_default=False)
    ] = None,
    image: Annotated[str | None, typer.Option(help="Penstock's own image.", show_default=False)] = None,
    prometheus: Annotated[str | None, typer.Option(help="Base URL at which KEDA asks.", show_default=False)] = None,
    planner_address: Annotated[
        str | None, typer.Option(help="HOST:PORT at which KEDA asks the planner.", show_default=False)
    ] = None,
    keda_authentication: Annotated[
        str | None,
        typer.Option(help="TriggerAuthentication by which KEDA asks, if it must.", show_default=False),
    ] = None,
    planner_namespace: Annotated[
        str | None,
        typer.Option(help="Where the planner runs, for a ScalingPolicy. Default: penstock.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON list on stdout, instead of YAML.")] = False,
) -> None:
    """Print the manifests that the operator would apply; of a ScalingPolicy, its rights. Changes nothing."""
    import yaml

    from penstock.errors import InputError
    from penstock.operator.crds import definitions
    from penstock.operator.install import install_objects, policy_rights
    from penstock.operator.render import rendered
    from penstock.operator.settings import OperatorSettings

    given = {
        "image": image,
        "prometheus": prometheus,
        "planner_address": planner_address,
        "keda_authentication": keda_authentication,
    }
    settings = OperatorSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    if what is What.CRDS:
        objects = definitions()
    elif what is What.OPERATOR:
        objects = install_objects(settings, namespace=namespace or "penstock")
    elif spec is None:
        raise InputError("SPEC", "missing", "name a deployment file")
    elif (policy := _policy(spec)) is not None:
        if what is not What.KUBERNETES:
            raise InputError(f"--for {what.value}", f"{spec} is a ScalingPolicy", "leave it out")
        objects = policy_rights(
            policy,
            namespace=namespace or policy.metadata.namespace or "default",
            planner_namespace=planner_namespace or "penstock",
        )
        planner_namespace = None
    else:
        deployment = read_spec(spec)
        objects = rendered(deployment, namespace or deployment.metadata.namespace or "default", settings)
        if what in _KINDS:
            objects = tuple(made for made in objects if made["kind"] == _KINDS[what])
            if not objects:
                raise InputError(
                    f"{spec}: spec.components",
                    f"none has autoscaling by {what.value}",
                    "give one such an owner, or leave out --for",
                )
    if planner_namespace is not None:
        raise InputError("--planner-namespace", "given without a ScalingPolicy", "leave it out")
    if json:
        print_document(list(objects))
    else:

        class Plain(yaml.SafeDumper):
            """Without anchors: what stands twice is written twice."""

            def ignore_aliases(self, data: object) -> bool:
                return True

        print_text(yaml.dump_all(objects, Dumper=Plain, sort_keys=False, width=120, allow_unicode=True))


def _policy(file: Path) -> ScalingPolicy | None:
    """The ScalingPolicy in a file; None, if it says that it is something else. Raises: InputError."""
    import yaml

    from penstock.messages.parse_spec import parse_document

    text = read_text(file, "deployment")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # who reads it as a deployment says what is wrong
    if not isinstance(document, dict) or document.get("kind") != "ScalingPolicy":
        return None
    return parse_document(text, ScalingPolicy, source=str(file), what="policy")
