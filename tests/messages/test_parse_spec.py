"""What a user gets for a deployment file: frozen types, or one line that says where, what and how to mend it."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from penstock.errors import InputError
from penstock.messages.parse_spec import json_schema, parse_spec
from penstock.messages.scaling_spec import NoScaling, PlannerScaling
from penstock.messages.spec import InferenceDeployment
from penstock.messages.worker import Role

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
GOOD = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: demo}
spec:
  model: {name: penstock/tiny}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05}
  components:
    - name: frontend
      role: frontend
    - name: worker
      role: worker
      gpu: {vmSize: Standard_NC40ads_H100_v5}
      autoscaling: {by: planner, min: 1, max: 4}
"""


def parse(text: str) -> InferenceDeployment:
    return parse_spec(text, source="demo.yaml")


def test_seconds_in_the_file_are_s_inside() -> None:
    """`ttftSeconds` in YAML is `ttft_s` in Python, and defaults are filled in."""
    spec = parse(GOOD).spec
    assert (spec.slo.ttft_s, spec.slo.itl_s, spec.slo.percentile) == (0.5, 0.05, 95)
    assert isinstance(spec.component("worker").autoscaling, PlannerScaling)
    assert isinstance(spec.component("frontend").autoscaling, NoScaling)
    assert [pool.role for pool in spec.pools] == [Role.WORKER]


def test_a_spec_cannot_be_changed() -> None:
    """Nothing downstream can alter what the user wrote."""
    with pytest.raises(ValueError, match="frozen"):
        parse(GOOD).spec.slo.ttft_s = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("max: 4", "max: 0", "spec.components[1].autoscaling: max is 0, so nothing could ever serve; set max >= 1"),
        (", max: 4", "", "autoscaling.max: missing; a pool that scales needs an upper bound, set max"),
        ("min: 1", "min: 9", "spec.components[1].autoscaling: min 9 > max 4; set min <= max"),
        ("ttftSeconds: 0.5", "ttftSeconds: -1", "spec.slo.ttftSeconds: -1 will not do; input should be greater than"),
        (
            "name: demo",
            "name: 2026-02-30",
            "a value in it cannot be read (day is out of range for month); quote it, if",
        ),
        ("max: 4", "max: " + "9" * 5000, "a value in it cannot be read (exceeds the limit (4300 digits)"),
        ("min: 1", "hpa: 1", "spec.components[1].autoscaling.hpa: unknown field; remove it"),
        ("itlSeconds: 0.05", "itlSeconds: .nan", "spec.slo.itlSeconds: nan will not do; input should be a finite"),
        ("role: worker", "role: prefill", "spec.components: role prefill without decode; add a decode component"),
        ("role: worker", "role: decode", "spec.components: role decode without prefill; add a prefill component"),
        ("role: worker", "role: frontend", "spec.components: more than one has role frontend; keep one"),
        ("by: planner", "by: vpa", "autoscaling.by: no owner 'vpa'; name one of planner, hpa, keda, none, external"),
        ("by: planner, ", "", "autoscaling.by: missing; name one of planner, hpa, keda, none, external"),
        ("by: planner", "by: hpa", "an HPA without a metric never scales; set cpuPercent, requestsPerSecond or"),
        ("ttftSeconds", "ttftSecond", "spec.slo.ttftSecond: unknown field; did you mean ttftSeconds?"),
        ("role: worker", "role: wrkr", "role: 'wrkr' will not do; input should be 'frontend', 'worker', 'prefill' or"),
        ("name: worker", "name: frontend", "spec.components: 2 are named 'frontend'; give each its own name"),
        ("name: worker", "name: Worker", "spec.components[1].name: 'Worker' will not do; string should match"),
        ("slo: {", "slo: {{", "line 8: not valid YAML"),
        ("kind: InferenceDeployment", "kind: Deployment", "kind: 'Deployment' will not do"),
    ],
)
def test_each_mistake_is_one_line_with_path_and_fix(old: str, new: str, line: str) -> None:
    """The line names file, field, fault and fix, and is only one line."""
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        parse(GOOD.replace(old, new))
    message = str(caught.value)
    assert message.startswith("demo.yaml")
    assert line in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "42", "- a\n- b", "\x00", "[" * 5000])
def test_a_file_without_a_deployment_is_refused(text: str) -> None:
    """Empty, scalar, list and binary files are no traceback."""
    with pytest.raises(InputError):
        parse(text)


def test_initial_replicas_must_be_within_the_bounds() -> None:
    """`replicas` that the autoscaler would undo at once is a contradiction."""
    with pytest.raises(InputError, match="replicas 9 outside autoscaling 1 to 4"):
        parse(GOOD.replace("role: worker", "role: worker\n      replicas: 9"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_parses_and_fits_the_schema(path: Path) -> None:
    """What we show works, by our own parser and by the JSON Schema that editors use."""
    text = path.read_text()
    parse_spec(text, source=path.name)
    jsonschema.validate(yaml.safe_load(text), json_schema())


def test_the_schema_refuses_what_the_parser_refuses() -> None:
    """An editor flags an unknown field too."""
    document = yaml.safe_load(GOOD.replace("ttftSeconds", "ttftSecs"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema())
    json.dumps(json_schema())


def test_the_deployment_of_the_architecture_parses() -> None:
    """A P/D deployment of a real model with a scaled frontend and warm nodes, as for a cluster."""
    deployment = parse("""
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: qwen3}
spec:
  model: {name: Qwen/Qwen3-0.6B}
  slo: {ttftSeconds: 0.5, itlSeconds: 0.05, percentile: 95}
  components:
    - name: frontend
      role: frontend
      replicas: 1
      autoscaling: {by: hpa, min: 1, max: 4, cpuPercent: 70, requestsPerSecond: 200}
    - name: prefill
      role: prefill
      engine: {type: vllm}
      gpu: {vmSize: Standard_NC40ads_H100_v5, count: 1}
      autoscaling: {by: planner, min: 1, max: 8}
    - name: decode
      role: decode
      engine: {type: vllm}
      gpu: {vmSize: Standard_NC40ads_H100_v5, count: 1}
      autoscaling: {by: planner, min: 1, max: 8}
  warmCapacity: {nodes: auto}
""")
    assert [pool.name for pool in deployment.spec.pools] == ["prefill", "decode"]
    assert deployment.spec.warm_capacity is not None
