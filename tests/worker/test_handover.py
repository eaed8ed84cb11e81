"""Prefill and decode apart: two real workers hand a prompt's KV over, as a gateway would have them do."""

import json
import signal
import time
from typing import Any

import pytest
from worker_process import Launcher, WorkerProcess, free_port, get, metric, post

from penstock.errors import ClientError
from penstock.worker.remote_kv import remote_ref

ASK_PREFILL = {"do_remote_decode": True, "do_remote_prefill": False, "remote_engine_id": None, "remote_block_ids": None}
PROMPT = [300 + number for number in range(100)]


def prefill(worker: WorkerProcess, prompt: list[int] = PROMPT) -> dict[str, Any]:
    body = {"prompt": prompt, "max_tokens": 1, "kv_transfer_params": ASK_PREFILL}
    status, _, answer = post(worker, "/v1/completions", body)
    assert status == 200, answer
    return dict(json.loads(answer)["kv_transfer_params"])


def decode(worker: WorkerProcess, params: dict[str, Any] | None, prompt: list[int] = PROMPT) -> tuple[int, Any]:
    body = {"prompt": prompt, "max_tokens": 20, "kv_transfer_params": params}
    status, _, answer = post(worker, "/v1/completions", body)
    return status, json.loads(answer)


def test_the_kv_is_kept_until_it_is_read_and_the_answer_is_that_of_one_worker(start_worker: Launcher) -> None:
    """In vLLM's fields; blocks are pinned, read once, freed; nothing of the prompt is computed twice but one token."""
    first, second = start_worker("--role", "prefill", "--id", "p-1"), start_worker("--role", "decode")
    params = prefill(first)
    assert (params["do_remote_prefill"], params["remote_engine_id"]) == (True, "p-1")
    assert (params["remote_host"], params["remote_port"]) == ("127.0.0.1", first.port)
    assert params["remote_block_ids"] == list(range(7))
    assert get(first, "/drain") == {"draining": False, "left": 1, "pinned": 1}
    assert metric(first, "vllm:kv_cache_usage_perc") == 7 / 16_384
    status, answer = decode(second, params)
    assert status == 200
    assert get(first, "/drain")["pinned"] == 0
    assert metric(first, "vllm:kv_cache_usage_perc") == 0
    assert metric(second, "vllm:external_prefix_cache_hits_total") == 100
    assert metric(second, "vllm:nixl_xfer_time_seconds_count") == 1
    alone_status, alone = decode(second, None)  # the same worker, without a hand-over
    assert alone_status == 200
    assert answer["choices"][0]["text"] == alone["choices"][0]["text"]
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    again = prefill(first)
    assert (
        decode(second, again)[1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 96
    )  # found by the prefill worker
    assert decode(second, again)[0] == 500  # it can be read just once


def test_the_hand_over_takes_the_specs_time(start_worker: Launcher, tmp_path: object) -> None:
    """Latency plus tokens over rate, here 0.1 s + 100 / 1000 s."""
    spec = f"{tmp_path}/spec.yaml"
    with open(spec, "w") as file:
        file.write(
            "apiVersion: penstock.dev/v1alpha1\nkind: InferenceDeployment\nmetadata: {name: a}\nspec:\n"
            "  model: {name: penstock/tiny}\n  slo: {ttftSeconds: 1, itlSeconds: 0.1}\n  components:\n"
            "    - {name: prefill, role: prefill}\n"
            "    - {name: decode, role: decode, engine: {kvTransfer: {latencySeconds: 0.1, tokensPerSecond: 1000}}}\n"
        )
    first = start_worker("--spec", spec, "--component", "prefill")
    second = start_worker("--spec", spec, "--component", "decode")
    params = prefill(first)
    started = time.monotonic()
    assert decode(second, params)[0] == 200
    took_s = time.monotonic() - started
    assert 0.2 <= took_s < 0.6


def test_a_dead_holder_fails_that_request_alone(start_worker: Launcher) -> None:
    """500 within 5 s, then the decode worker serves on, also by itself."""
    first, second = start_worker("--role", "prefill"), start_worker("--role", "decode")
    params = prefill(first)
    first.process.kill()
    first.process.wait()
    started = time.monotonic()
    status, answer = decode(second, params)
    assert (status, answer["error"]["type"]) == (500, "upstream_error")
    assert time.monotonic() - started < 6
    assert second.health() == 200
    assert decode(second, None)[0] == 200
    assert metric(second, "vllm:nixl_num_failed_transfers_total") == 1
    assert get(second, "/drain")["left"] == 0


def test_a_prefill_worker_does_not_go_before_its_kv_is_read(start_worker: Launcher) -> None:
    """SIGTERM waits for it."""
    first, second = start_worker("--role", "prefill"), start_worker("--role", "decode")
    params = prefill(first)
    first.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert first.process.poll() is None
    assert decode(second, params)[0] == 200
    assert first.process.wait(5) == 0


def test_kv_that_nobody_reads_is_given_up(start_worker: Launcher) -> None:
    """After the time-out its blocks are free."""
    worker = start_worker("--role", "prefill", "--kv-pin-timeout-s", 0.3)
    prefill(worker)
    assert get(worker, "/drain")["pinned"] == 1
    time.sleep(0.5)
    assert get(worker, "/drain")["left"] == 0
    assert metric(worker, "vllm:kv_cache_usage_perc") == 0


def test_a_prefill_worker_answers_one_token_and_refuses_more(start_worker: Launcher) -> None:
    """One is what a readiness check asks for; it pins nothing."""
    worker = start_worker("--role", "prefill")
    assert post(worker, "/v1/completions", {"prompt": PROMPT, "max_tokens": 1})[0] == 200
    assert get(worker, "/drain")["left"] == 0
    status, _, answer = post(worker, "/v1/completions", {"prompt": PROMPT, "max_tokens": 2})
    assert (status, "only prefills" in answer.decode()) == (400, True)


def test_the_kv_of_another_prompt_is_refused(start_worker: Launcher) -> None:
    """Else the answer would be to another question."""
    first, second = start_worker("--role", "prefill"), start_worker("--role", "decode")
    status, answer = decode(second, prefill(first), PROMPT[:50])
    assert (status, answer["error"]["param"]) == (400, "kv_transfer_params")


@pytest.mark.parametrize(
    "change",
    [
        {"remote_host": "evil/path@host"},
        {"remote_host": ""},
        {"remote_host": None},
        {"remote_port": 0},
        {"remote_port": "80"},
        {"remote_port": True},
        {"remote_request_id": "../drain"},
        {"remote_request_id": ".."},
        {"remote_request_id": "x" * 300},
        {"remote_request_id": ""},
    ],
)
def test_parameters_that_lead_elsewhere_are_refused(change: dict[str, Any]) -> None:
    """They come from outside and name an address that this worker will call."""
    params = {"do_remote_prefill": True, "remote_host": "127.0.0.1", "remote_port": 80, "remote_request_id": "a-1"}
    assert remote_ref(params) is not None
    with pytest.raises(ClientError):
        remote_ref(params | change)


def test_a_holder_that_does_not_answer_is_given_up_in_time(start_worker: Launcher) -> None:
    """A port where nobody listens is refused at once."""
    second = start_worker("--role", "decode")
    params = {
        "do_remote_prefill": True,
        "remote_host": "127.0.0.1",
        "remote_port": free_port(),
        "remote_request_id": "a",
    }
    started = time.monotonic()
    assert decode(second, params)[0] == 500
    assert time.monotonic() - started < 5
