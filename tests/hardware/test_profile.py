"""Profiles: what ships is whole; files are read back, or refused by field; corrections go to what was measured."""

import json
from dataclasses import replace

import pytest

from penstock.errors import InputError
from penstock.hardware.gpus import gpu
from penstock.hardware.models import known_model
from penstock.hardware.profile import Profile, parse_profile, profile_to_json, shipped_profile
from penstock.hardware.serving import Serving

SHIPPED = shipped_profile()
MEASURED = Serving(model=known_model("Qwen3-32B"), gpu=gpu("H100"), engine="vllm", version="0.12.0", gpus=2)


def text_with(**changes: object) -> str:
    return json.dumps(json.loads(profile_to_json(SHIPPED)) | changes)


def test_a_profile_is_read_back_as_it_was_written() -> None:
    assert parse_profile(profile_to_json(SHIPPED), source="p.json") == SHIPPED


def test_the_shipped_profile_states_its_errors() -> None:
    """By campaign, as fitted and left out, within what is promised of the mean."""
    assert len(SHIPPED.campaigns) == 15
    for campaign in SHIPPED.campaigns:
        assert campaign.fitted.tpot is not None
        assert campaign.left_out.tpot is not None
        assert campaign.fitted.tpot <= campaign.left_out.tpot + 1e-9, campaign.model
        assert known_model(campaign.model).name == campaign.model
        assert gpu(campaign.gpu).name == campaign.gpu
    assert SHIPPED.left_out.tpot is not None
    assert SHIPPED.left_out.tpot < 0.12
    assert SHIPPED.left_out.ttft is not None
    assert SHIPPED.left_out.ttft < 0.30


def test_a_measured_replica_gets_its_correction_and_its_error() -> None:
    confidence = SHIPPED.confidence(MEASURED)
    assert confidence.calibrated
    assert confidence.tpot_error < 0.03
    assert SHIPPED.times(MEASURED) != uncorrected().times(MEASURED)


def test_another_gpu_gets_no_correction_and_the_error_of_what_was_left_out() -> None:
    elsewhere = replace(MEASURED, gpu=gpu("A100"))
    confidence = SHIPPED.confidence(elsewhere)
    assert (confidence.calibrated, confidence.model_seen, confidence.engine_seen) == (False, True, True)
    assert confidence.tpot_error == SHIPPED.left_out.tpot
    assert SHIPPED.times(elsewhere) == uncorrected().times(elsewhere)


def test_two_points_calibrate_nothing() -> None:
    """The correction is used; its own error is not believed."""
    small = Serving(model=known_model("Qwen3-0.6B"), gpu=gpu("H100"), engine="vllm")
    assert SHIPPED.campaign(small) is not None
    assert not SHIPPED.confidence(small).calibrated
    assert SHIPPED.confidence(small).tpot_error == SHIPPED.left_out.tpot


def test_an_unmeasured_version_gets_the_correction_measured_most() -> None:
    """TensorRT-LLM was measured in two versions with DeepSeek, far apart."""
    serving = Serving(
        model=known_model("DeepSeek-R1"), gpu=gpu("H200"), engine="trtllm", precision="fp8", gpus=8, version="9.9"
    )
    campaign = SHIPPED.campaign(serving)
    assert campaign is not None
    assert len(campaign.corrections) == 2
    most = max(campaign.corrections, key=lambda entry: entry.points)
    assert SHIPPED.times(serving) == SHIPPED.times(replace(serving, version=most.version))


def uncorrected() -> Profile:
    return replace(SHIPPED, campaigns=())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"^p.json:1: no JSON"),
        ("[]", r"^p.json: format: not a profile"),
        (text_with(format=99), r"^p.json: format"),
        (text_with(shared={"kv": 1.0}), r"^p.json: shared: its fields are not"),
        (text_with(engines={}), r"a field is missing"),
        (text_with(campaigns=[{"engine": "llamacpp"}]), r"unknown engine 'llamacpp'"),
        (text_with(campaigns=7), r"of the wrong kind"),
    ],
)
def test_a_broken_profile_is_refused_by_file_and_field(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_profile(text, source="p.json")


@pytest.mark.parametrize("value", [0, -1.0, "fast", None, True, float("inf")])
def test_a_parameter_is_a_positive_number(value: object) -> None:
    shared = json.loads(profile_to_json(SHIPPED))["shared"] | {"kv": value}
    with pytest.raises(InputError, match=r"^p.json: shared.kv"):
        parse_profile(text_with(shared=shared), source="p.json")
