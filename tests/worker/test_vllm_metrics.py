"""Metrics of the simulated worker: vLLM's names, labels and edges, and figures that add up."""

import asyncio
import re
import urllib.request

from worker_process import WorkerProcess, get, post

from penstock.engine.config import EngineConfig
from penstock.engine.engine import Engine
from penstock.hardware.steptime import StepTime
from penstock.messages.engine_spec import StepTimeSpec
from penstock.messages.worker import Role
from penstock.tokenizer.tokenizer import Tokenizer
from penstock.worker.asked import Api, RequestReader
from penstock.worker.driver import EngineDriver

TYPES = {
    "num_requests_running": "gauge",
    "num_requests_waiting": "gauge",
    "num_requests_waiting_by_reason": "gauge",
    "kv_cache_usage_perc": "gauge",
    "engine_sleep_state": "gauge",
    "cache_config_info": "gauge",
    "prompt_tokens_total": "counter",
    "prompt_tokens_by_source_total": "counter",
    "generation_tokens_total": "counter",
    "request_success_total": "counter",
    "num_preemptions_total": "counter",
    "prefix_cache_queries_total": "counter",
    "prefix_cache_hits_total": "counter",
    "external_prefix_cache_queries_total": "counter",
    "external_prefix_cache_hits_total": "counter",
    "time_to_first_token_seconds": "histogram",
    "inter_token_latency_seconds": "histogram",
    "e2e_request_latency_seconds": "histogram",
    "request_queue_time_seconds": "histogram",
    "request_prefill_time_seconds": "histogram",
    "request_decode_time_seconds": "histogram",
    "request_inference_time_seconds": "histogram",
    "request_prompt_tokens": "histogram",
    "request_generation_tokens": "histogram",
    "nixl_xfer_time_seconds": "histogram",
    "nixl_num_failed_transfers_total": "counter",
}
EDGES = {
    "time_to_first_token_seconds": ".001 .005 .01 .02 .04 .06 .08 .1 .25 .5 .75 1 2.5 5 7.5 10 20 40 80 160 640 2560",
    "inter_token_latency_seconds": ".01 .025 .05 .075 .1 .15 .2 .3 .4 .5 .75 1 2.5 5 7.5 10 20 40 80",
    "request_prompt_tokens": "1 2 5 10 20 50 100 200 500 1000 2000",
}
LABELS = {
    "num_requests_waiting_by_reason": ("reason", {"capacity", "deferred"}),
    "prompt_tokens_by_source_total": ("source", {"local_compute", "local_cache_hit", "external_kv_transfer"}),
    "engine_sleep_state": ("sleep_state", {"awake", "weights_offloaded", "discard_all"}),
}


def scrape(worker: WorkerProcess) -> str:
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=5) as response:
        assert response.headers["content-type"].startswith("text/plain")
        return str(response.read().decode())


def test_names_types_labels_and_edges_are_vllms(worker: WorkerProcess) -> None:
    """Against a table of our own; every series says model and engine."""
    text = scrape(worker)
    typed = dict(re.findall(r"^# TYPE vllm:(\S+) (\S+)$", text, re.M))
    assert typed == TYPES
    assert "# TYPE penstock_worker_lag_seconds_total counter" in text
    for name, edges in EDGES.items():
        found = re.findall(rf'^vllm:{name}_bucket{{.*le="([^"]+)"', text, re.M)
        assert [float(edge) for edge in found] == [*map(float, edges.split()), float("inf")], name
    for name, (label, values) in LABELS.items():
        assert set(re.findall(rf'^vllm:{name}{{.*{label}="([^"]+)"', text, re.M)) == values
    series = [line for line in text.splitlines() if not line.startswith("#")]
    assert all('engine="0"' in line and 'model_name="penstock/tiny"' in line for line in series)
    assert 'block_size="16"' in text
    assert 'num_gpu_blocks="16384"' in text


def test_figures_add_up_over_some_requests(worker: WorkerProcess) -> None:
    """Tokens by source sum to the prompts; a token is either a first one or has a gap; each request counts once."""
    before = _values(scrape(worker))
    prompt = [[300 + 2 * number, 301] * 40 for number in range(3)]
    for number in (0, 1, 2, 0):
        assert post(worker, "/v1/completions", {"prompt": prompt[number], "max_tokens": 7})[0] == 200
    after = _values(scrape(worker))
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    assert grown["prompt_tokens_total"] == 4 * 80
    # 80 tokens are 5 blocks, but the last token at least is computed.
    assert grown["prompt_tokens_by_source_total local_cache_hit"] == grown["prefix_cache_hits_total"] == 64
    assert grown["prompt_tokens_by_source_total local_compute"] == 4 * 80 - 64
    assert grown["prefix_cache_queries_total"] == 4 * 80
    assert grown["generation_tokens_total"] == 28
    assert grown["time_to_first_token_seconds_count"] == 4
    assert grown["inter_token_latency_seconds_count"] == 24
    assert grown["request_success_total length"] == 4
    parts = ("request_queue_time_seconds_sum", "request_inference_time_seconds_sum")
    assert abs(grown["e2e_request_latency_seconds_sum"] - sum(grown[part] for part in parts)) < 1e-6
    assert get(worker, "/drain")["left"] == 0


def _values(text: str) -> dict[str, float]:
    """Values by name, and by the one label beside model and engine."""
    values: dict[str, float] = {}
    for name, labels, value in re.findall(r"^vllm:(\w+){(.*)} (\S+)$", text, re.M):
        rest = [text for key, text in re.findall(r'(\w+)="([^"]*)"', labels) if key not in ("engine", "model_name")]
        values[" ".join([name, *rest])] = float(value)
    return values


def test_a_preemption_is_counted_and_its_gap_is_a_gap() -> None:
    """A request that lost its blocks goes on later: as many tokens and gaps as without."""
    reader = RequestReader(Tokenizer.load("penstock/tiny"), model="m", max_model_len=1000)
    config = EngineConfig(max_num_seqs=8, max_num_batched_tokens=256, block_tokens=16, kv_blocks=12, role=Role.WORKER)
    step_time = StepTime.from_spec(StepTimeSpec(base_s=0.0005))

    async def run() -> EngineDriver:
        driver = EngineDriver(Engine(config), step_time, model_name="m", max_model_len=1000)
        loop = asyncio.get_running_loop()
        asked = [
            reader.read(Api.TEXT, b'{"prompt": [%s], "max_tokens": 64}' % b", ".join([b"%d" % (300 + n)] * 48))
            for n in range(3)
        ]
        tickets = [driver.submit(one, arrived_s=loop.time()) for one in asked]
        for ticket in tickets:
            await ticket.news(10**6)
        assert [ticket.produced for ticket in tickets] == [64, 64, 64]
        return driver

    metrics = asyncio.run(run()).metrics
    assert metrics.preemptions > 0
    assert metrics.generation_tokens == 192
    values = _values(metrics.exposition().decode())
    assert values["inter_token_latency_seconds_count"] == 189
    assert values["num_preemptions_total"] == metrics.preemptions
