"""The page of `recommend` in Debian's chromium: drawn in light and dark, without a word of complaint."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from penstock.recommend.page import page

CHROMIUM = "/usr/bin/chromium"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium here"),
]


def option(mode: str, price: float, attainment: float) -> dict[str, Any]:
    roles = ("worker",) if mode == "aggregated" else ("prefill", "decode")
    replicas = dict.fromkeys(roles, 2)
    latency = {"ttft_p95_s": 0.2, "itl_p95_s": 0.01, "attainment": attainment}
    return {
        "vm_size": "Standard_NC24ads_A100_v4",
        "gpu": "A100 80GB PCIe",
        "tensor_parallel": 1,
        "mode": mode,
        "replicas": replicas,
        "vms": 2,
        "feasible": attainment >= 0.99,
        "why_not": None if attainment >= 0.99 else "<b>late</b>",
        "simulated": True,
        "usd_per_hour": price,
        "usd_per_million_tokens": 1.5,
        "trials": [{"replicas": replicas, "usd_per_hour": price, **latency}],
        **latency,
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_draws_and_loads_nothing(tmp_path: Path, scheme: Any) -> None:
    """Both charts and all three tables are there; what is data stays text."""
    best, other = option("aggregated", 7.34, 1.0), option("disaggregated", 9.0, 0.5)
    document = {
        "model": "<m>",
        "engine": "vllm",
        "precision": "bf16",
        "slo": {"ttft_s": 0.5, "itl_s": 0.05, "percentile": 95, "window_s": 60},
        "workload": {
            "requests": 10, "duration_s": 60.0, "mean_per_s": 1.0, "peak_minute_per_s": 2.0,
            "isl": 100.0, "isl_p95": 200.0, "osl": 10.0, "osl_p95": 20.0, "hit_ratio": 0.0,
        },
        "headline": "Take <it>",
        "reasons": ["because & so on"],
        "recommended": best,
        "options": [best, other],
    }  # fmt: skip
    path = tmp_path / "recommend.html"
    path.write_text(page(document), encoding="utf-8")
    errors: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(color_scheme=scheme)
        shown.on("console", lambda message: errors.append(message.text))
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on("request", lambda request: requests.append(request.url))
        shown.goto(path.as_uri())
        shown.wait_for_selector("#trials svg.main-svg")
        assert shown.locator("#price .bars .point").count() == 1
        assert shown.locator("#trials .points path").count() == 2
        assert [shown.locator(f"#{name} tbody tr").count() for name in ("options", "not", "simulations")] == [1, 1, 2]
        assert shown.locator(".verdict-sentence").inner_text() == "Take <it>"
        assert "<b>late</b>" in shown.locator("#not").inner_text()
        browser.close()
    assert errors == []
    assert requests == [path.as_uri()]
