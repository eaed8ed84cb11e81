"""Scrapes of our own processes' metrics, recorded in virtual time: three workers and a gateway under some load."""

from random import Random

from promql_series import BEGIN_MS
from promql_store import Scraped

from penstock.telemetry.gateway_metrics import GatewayMetrics
from penstock.telemetry.vllm_metrics import EngineGauges, VllmMetrics


def worker(rng: Random) -> VllmMetrics:
    """A worker that has just started."""
    return VllmMetrics(
        model_name="tiny",
        num_gpu_blocks=100,
        block_size=16,
        max_model_len=4096,
        gauges=lambda: EngineGauges(running=rng.randint(0, 9), waiting=rng.randint(0, 3), deferred=0, kv_usage=0.25),
    )


def recorded(seed: int, *, interval_ms: int, scrapes: int) -> list[Scraped]:
    """All scrapes in the order of time. Workers restart, fail to answer and go."""
    rng = Random(f"recorded {seed}")
    workers = {f"worker-{n}": worker(rng) for n in range(3)}
    gateway = GatewayMetrics(slo_ttft_s=0.5, slo_itl_s=0.05)
    offsets = {name: rng.randrange(interval_ms) for name in (*workers, "gateway")}
    found = []
    for number in range(scrapes):
        level = rng.uniform(0.1, 3)
        for name in list(workers):
            if rng.random() < 0.03:
                workers[name] = worker(rng)
            _serve(rng, workers[name], gateway, level)
        processes: dict[str, VllmMetrics | GatewayMetrics] = {**workers, "gateway": gateway}
        for name, process in processes.items():
            answered = rng.random() > 0.04 and (name != "worker-2" or number < scrapes * 2 // 3)
            at_ms = BEGIN_MS + number * interval_ms + offsets[name] + rng.randint(0, interval_ms // 10)
            text = process.exposition().decode() if answered else None
            found.append(Scraped(at_ms=at_ms, instance=name, text=text))
    return sorted(found, key=lambda scrape: scrape.at_ms)


def _serve(rng: Random, process: VllmMetrics, gateway: GatewayMetrics, level: float) -> None:
    for _ in range(rng.randint(0, 12)):
        ttft_s, itl_s, tokens = 0.2 * level * rng.lognormvariate(0, 1), 0.02 * level, rng.randint(1, 300)
        gateway.received.inc()
        gateway.prompt_tokens.inc(rng.randint(1, 4000))
        gateway.output_tokens.inc(tokens)
        process.generation_tokens += tokens
        for metrics in (process.ttft, gateway.time_to_first_token):
            metrics.observe(ttft_s)
        for metrics in (process.itl, gateway.inter_token_latency):
            metrics.observe(itl_s * rng.lognormvariate(0, 0.3), tokens)
