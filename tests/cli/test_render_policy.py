"""`penstock render` of a ScalingPolicy: the rights on its one target, by its mode."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.cli.main import COMMANDS, build
from penstock.errors import InputError

EXAMPLES = Path(__file__).parents[2] / "examples" / "scaling-policies"
EXAMPLE = EXAMPLES / "vllm.yaml"


def rendered(*arguments: str) -> Any:
    ran = CliRunner().invoke(build(list(COMMANDS)), ["render", *arguments, "--json"])
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return json.loads(ran.stdout)


def test_the_planner_may_read_the_scale_and_write_it_only_as_the_owner(tmp_path: Path) -> None:
    owner = tmp_path / "owner.yaml"
    owner.write_text(EXAMPLE.read_text().replace("mode: advise", "mode: owner"))
    for file, verbs in ((EXAMPLE, ["get"]), (owner, ["get", "patch"])):
        role, binding = rendered(str(file), "--namespace", "serving", "--planner-namespace", "ops")
        assert role["rules"] == [
            {"apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["llama"], "verbs": verbs}
        ]
        assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "serving"
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "penstock-planner", "namespace": "ops"}]


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_is_of_one_target(example: Path) -> None:
    role, _ = rendered(str(example))
    assert len(role["rules"]) == len(role["rules"][0]["resources"]) == len(role["rules"][0]["resourceNames"]) == 1


def test_what_makes_no_sense_for_a_policy_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(EXAMPLE.read_text().replace("source: vllm", "source: vlm"))
    for arguments, message in (
        ((str(EXAMPLE), "--for", "keda"), "--for keda: .* is a ScalingPolicy; leave it out"),
        ((str(wrong),), "wrong.yaml: spec.metrics.source: 'vlm' will not do"),
        (("--for", "crds", "--planner-namespace", "ops"), "--planner-namespace: given without a ScalingPolicy"),
    ):
        with pytest.raises(InputError, match=message):
            rendered(*arguments)
