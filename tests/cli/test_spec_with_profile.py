"""A deployment that names a profile: its engines get what was measured; and what is wrong is one line."""

from pathlib import Path

import pytest

from penstock.cli.output import read_spec
from penstock.cli.profiles import confidences
from penstock.errors import InputError
from penstock.hardware.gpus import gpu
from penstock.hardware.kv_capacity import kv_capacity
from penstock.hardware.models import known_model
from penstock.hardware.profile import shipped_profile
from penstock.hardware.profiled import with_profile, with_profiles
from penstock.hardware.serving import Serving
from penstock.messages.engine_spec import EngineSpec, StepTimeSpec
from penstock.messages.parse_spec import parse_spec
from penstock.messages.spec import InferenceDeployment

SPEC = """
apiVersion: penstock.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: measured}
spec:
  model: {name: Qwen/Qwen3-30B-A3B}
  slo: {ttftSeconds: 1.0, itlSeconds: 0.05}
  components:
    - {name: frontend, role: frontend}
    - name: worker
      role: worker
      engine: {profile: shipped}
      gpu: {vmSize: Standard_NC80adis_H100_v5, count: 2}
"""


def read(tmp_path: Path, text: str = SPEC) -> InferenceDeployment:
    path = tmp_path / "deployment.yaml"
    path.write_text(text)
    return read_spec(path)


def engine(deployment: InferenceDeployment) -> EngineSpec:
    return deployment.spec.component("worker").engine


def test_step_time_and_kv_blocks_are_those_of_the_profile(tmp_path: Path) -> None:
    """Model from the spec, GPU from the VM size, cut over all of the replica's GPUs; experts and prompts included."""
    serving = Serving(model=known_model("Qwen/Qwen3-30B-A3B"), gpu=gpu("H100 NVL"), engine="vllm", gpus=2)
    found = engine(read(tmp_path))
    assert found.step_time == shipped_profile().times(serving).spec(serving)
    assert found.step_time.experts_s > 0
    assert found.kv_blocks == kv_capacity(serving).blocks
    assert found.kv_transfer.tokens_per_second == pytest.approx(0.8 * 5e9 / serving.kv_bytes_per_token)


def test_what_is_stated_wins(tmp_path: Path) -> None:
    """So a deployment that was read and written down is read alike again, by the workers of `up`."""
    stated = read(tmp_path, SPEC.replace("{profile: shipped}", "{profile: shipped, kvBlocks: 77, maxModelLen: 1000}"))
    assert engine(stated).kv_blocks == 77
    once = read(tmp_path)
    again = read(tmp_path, once.model_dump_json(by_alias=True, exclude_none=True))
    assert engine(again) == engine(once)


def test_precision_and_shape_change_what_is_derived(tmp_path: Path) -> None:
    """Narrower weights leave more room; a model under its own name takes the shape of a known one."""
    wide, narrow = engine(read(tmp_path)), engine(read(tmp_path, SPEC.replace("shipped", "shipped, precision: fp8")))
    assert narrow.kv_blocks > wide.kv_blocks
    assert narrow.step_time.experts_s < wide.step_time.experts_s
    named = SPEC.replace("{name: Qwen/Qwen3-30B-A3B}", "{name: acme/bot, shape: Qwen/Qwen3-30B-A3B}")
    assert engine(read(tmp_path, named)) == wide


def test_a_deployment_says_how_far_off_it_may_be(tmp_path: Path) -> None:
    """By component, and only where a profile was used."""
    (known,) = confidences(read(tmp_path).spec).values()
    assert (known.calibrated, known.model_seen, known.gpu_seen, known.engine_seen) == (False, False, False, True)
    assert 0.05 < known.tpot_error < 0.2
    assert confidences(read(tmp_path, SPEC.replace("{profile: shipped}", "{}")).spec) == {}


def test_without_a_profile_nothing_is_derived(tmp_path: Path) -> None:
    assert engine(read(tmp_path, SPEC.replace("{profile: shipped}", "{}"))).step_time == StepTimeSpec()


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("Qwen/Qwen3-30B-A3B", "Llama-3.1-405B", "spec.components[1].gpu", "does not fit, by"),
        ("Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-30B-A4B", "spec.model.name", "nearest known: Qwen/Qwen3-30B-A3B"),
        ("NC80adis_H100", "NC80adi_H100", "spec.components[1].gpu.vmSize", "did you mean Standard_NC80adis_H100_v5"),
        ("count: 2", "count: 4", "spec.components[1].gpu.count", "has 2"),
        ("profile: shipped", "profile: mine.json", "spec.components[1].engine.profile", "cannot be read"),
        ("profile: shipped", "precision: fp8", "spec.components[1].engine", "add profile: shipped"),
        ("profile: shipped", "expertParallel: true", "spec.components[1].engine", "add profile: shipped"),
        ("gpu: {vmSize: Standard_NC80adis_H100_v5, count: 2}", "", "spec.components[1].gpu", "set gpu"),
    ],
)
def test_what_is_wrong_names_the_field_and_the_fix(tmp_path: Path, old: str, new: str, path: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, SPEC.replace(old, new))
    assert path in str(error.value)
    assert message in str(error.value)


def test_a_model_that_does_not_fit_is_told_what_would_hold_it(tmp_path: Path) -> None:
    """More GPUs of the same VM first, then the cheapest others, then fewer bits; each of them true."""
    big = SPEC.replace("Qwen/Qwen3-30B-A3B", "Llama-3.3-70B").replace(
        "NC80adis_H100_v5, count: 2", "NC80adis_H100_v5, count: 1"
    )
    with pytest.raises(InputError) as error:
        read(tmp_path, big)
    assert "does not fit, by 51.5 GiB" in str(error.value)
    assert "use count 2 or vmSize" in error.value.fix
    assert "precision fp8" in error.value.fix
    read(tmp_path, big.replace("count: 1", "count: 2"))
    read(tmp_path, big.replace("profile: shipped", "profile: shipped, precision: fp8"))


def test_kv_blocks_that_cannot_hold_one_request_are_refused(tmp_path: Path) -> None:
    """By file and field, with how many are missing, in GiB where the model's shape is known, and what would do."""
    with pytest.raises(InputError) as refused:
        read(tmp_path, SPEC.replace("{profile: shipped}", "{profile: shipped, kvBlocks: 77}"))
    said = str(refused.value)
    assert "spec.components[1].engine.kvBlocks: 77 are 1,971 too few, " in said
    assert "GiB" in said
    plain = SPEC.replace("{profile: shipped}", "{kvBlocks: 77, maxModelLen: MOST}")
    assert engine(read(tmp_path, plain.replace("MOST", "1233"))).kv_blocks == 77
    with pytest.raises(InputError, match=r"1 too few for one request .* raise it to 78, or lower maxModelLen to 1233"):
        read(tmp_path, plain.replace("MOST", "1234"))


def test_a_cluster_derives_what_a_file_does_and_knows_no_other_profile(tmp_path: Path) -> None:
    """The operator and the planner of a cluster read no files."""
    stated = parse_spec(SPEC, source="deployment.yaml").spec
    assert with_profiles(stated) == read(tmp_path).spec
    component = stated.component("worker")
    other = component.model_copy(update={"engine": component.engine.model_copy(update={"profile": "mine.json"})})
    with pytest.raises(InputError, match=r"spec\.component\.engine\.profile.*mine\.json.*say shipped"):
        with_profile(stated.model, other)
