"""The PromQL of each signal of a pool, as an autoscaler in a cluster asks for it. Pure.

Every query is filtered to one deployment, engines' ones to one component, and gives one element: an unfiltered one
mixes deployments, and KEDA takes several elements for an error. A quantile or ratio of no traffic is NaN, which KEDA
does not take for "no data" and scales on; `>= 0` makes it empty.

Pods carry the two labels by `podTargetLabels` of their PodMonitor.
"""

from collections.abc import Callable

from penstock.messages.observation import Signal

_GATEWAY, _ENGINE = "penstock_gateway", "vllm"


def query(
    signal: Signal,
    *,
    namespace: str,
    deployment: str,
    component: str,
    percentile: float = 95,
    window: str = "2m",
    at_gateway: bool = False,
) -> str | None:
    """The query of a signal; None where a cluster has no metric of it.

    Args:
        percentile: of latencies, 0 to 100.
        window: over which rates are taken; at least four scrapes.
        at_gateway: latencies and hits as gateways see them, waiting for a worker included, not as a component's
            engines do.
    """
    made = _AT_GATEWAY.get(signal) if at_gateway else None
    made = made or _QUERIES.get(signal)
    if made is None:
        return None
    gateway, engine = selectors(namespace=namespace, deployment=deployment, component=component)
    return made(gateway, engine, percentile / 100, window)


def selectors(*, namespace: str, deployment: str, component: str) -> tuple[str, str]:
    """What chooses the series of a deployment's gateways, and of a component's engines."""
    gateway = f'{{namespace="{namespace}",penstock_dev_deployment="{deployment}"}}'
    return gateway, f'{gateway[:-1]},penstock_dev_component="{component}"}}'


def count_of(series: str) -> str:
    """How many processes have a series, by a query."""
    return f"count({series})"


def age_of(series: str) -> str:
    """How old the oldest of the newest samples of a series is, by a query: seconds."""
    return f"time() - min(timestamp({series}))"


def _mean(name: str) -> Callable[[str, str, float, str], str]:
    def made(gateway: str, engine: str, quantile: float, window: str) -> str:
        total, count = (f"sum(rate({name}_{part}{gateway}[{window}]))" for part in ("sum", "count"))
        return f"{total} / {count} >= 0"

    return made


def _quantile(
    name: str, fixed: float | None = None, *, of_engine: bool = False
) -> Callable[[str, str, float, str], str]:
    def made(gateway: str, engine: str, quantile: float, window: str) -> str:
        chosen = engine if of_engine else gateway
        wanted = quantile if fixed is None else fixed
        return f"histogram_quantile({wanted:g}, sum by (le) (rate({name}_bucket{chosen}[{window}]))) >= 0"

    return made


def _gauges(*names: str, over: str = "sum") -> Callable[[str, str, float, str], str]:
    def made(gateway: str, engine: str, quantile: float, window: str) -> str:
        return " + ".join(f"{over}({name}{engine})" for name in names)

    return made


def _hits_told(gateway: str, engine: str, quantile: float, window: str) -> str:
    found, asked = (f"sum(rate({_GATEWAY}_prompt_tokens{part}_total{gateway}[{window}]))" for part in ("_cached", ""))
    return f"{found} / {asked} >= 0"


def _hits(gateway: str, engine: str, quantile: float, window: str) -> str:
    found, asked = (f"sum(rate({_ENGINE}:prefix_cache_{part}_total{engine}[{window}]))" for part in ("hits", "queries"))
    return f"{found} / {asked} >= 0"


_QUERIES: dict[Signal, Callable[[str, str, float, str], str]] = {
    Signal.DEMAND: lambda gateway, engine, quantile, window: (
        f"sum(rate({_GATEWAY}_requests_received_total{gateway}[{window}]))"
    ),
    Signal.ISL: _mean(f"{_GATEWAY}_request_prompt_tokens"),
    Signal.ISL_P95: _quantile(f"{_GATEWAY}_request_prompt_tokens", 0.95),
    Signal.OSL: _mean(f"{_GATEWAY}_request_output_tokens"),
    Signal.OSL_P95: _quantile(f"{_GATEWAY}_request_output_tokens", 0.95),
    Signal.HIT_RATIO: _hits,
    Signal.TTFT: _quantile(f"{_ENGINE}:time_to_first_token_seconds", of_engine=True),
    Signal.ITL: _quantile(f"{_ENGINE}:inter_token_latency_seconds", of_engine=True),
    Signal.IN_FLIGHT: _gauges(f"{_ENGINE}:num_requests_waiting", f"{_ENGINE}:num_requests_running"),
    Signal.QUEUE: _gauges(f"{_ENGINE}:num_requests_waiting"),
    Signal.RUNNING: _gauges(f"{_ENGINE}:num_requests_running"),
    Signal.KV_USAGE: _gauges(f"{_ENGINE}:kv_cache_usage_perc", over="avg"),
    Signal.HELD: lambda gateway, engine, quantile, window: f"sum({_GATEWAY}_held_requests{gateway})",
}
_AT_GATEWAY: dict[Signal, Callable[[str, str, float, str], str]] = {
    Signal.HIT_RATIO: _hits_told,
    Signal.TTFT: _quantile(f"{_GATEWAY}_time_to_first_token_seconds"),
    Signal.ITL: _quantile(f"{_GATEWAY}_inter_token_latency_seconds"),
}
