"""Workload statistics as one HTML file with charts: requests by minute, and how long prompts and outputs are.

Self-contained: plotly's script is inside, so the page works offline and can be mailed.
"""

from html import escape

import orjson

from penstock.workload.stats import WorkloadStats
from penstock.workload.stats_table import stats_table

_DEMAND = "#0072B2"  # Okabe-Ito blue
_PERCENTILES = ("p50", "p90", "p95", "p99", "max")

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%(title)s</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; }
</style>
<script>%(script)s</script></head>
<body><h1>%(title)s</h1>
<pre>%(table)s</pre>
<div id="rate" role="img" aria-label="Requests per second by minute; the figures are in the table above"></div>
<div id="lengths" role="img" aria-label="Percentiles of prompt and output length; the figures are in the table
above"></div> <script type="application/json" id="charts">%(charts)s</script> <script> const charts =
JSON.parse(document.getElementById("charts").textContent); const dark = matchMedia("(prefers-color-scheme:
dark)").matches; for (const [id, chart] of Object.entries(charts)) { Object.assign(chart.layout, { paper_bgcolor:
"rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: dark ? "#ddd" : "#222"}, height: 340, });
Plotly.newPlot(id, chart.data, chart.layout, {responsive: true, displaylogo: false}); } </script></body></html>
"""


def stats_page(name: str, format_name: str, stats: WorkloadStats) -> str:
    """The page."""
    from plotly.offline import get_plotlyjs

    charts = orjson.dumps(_charts(stats)).decode().replace("<", "\\u003c")
    return _PAGE % {
        "title": escape(f"Workload {name}"),
        "script": get_plotlyjs(),
        "table": escape(stats_table(name, format_name, stats)),
        "charts": charts,
    }


def _charts(stats: WorkloadStats) -> dict[str, object]:
    minutes = list(range(len(stats.requests_by_minute)))
    per_s = [count / 60 for count in stats.requests_by_minute]
    bars = [
        {
            "type": "bar",
            "name": label,
            "x": list(_PERCENTILES),
            "y": [getattr(lengths, name) for name in _PERCENTILES],
            "marker": {"color": color},
        }
        for label, lengths, color in (
            ("prompt", stats.input_tokens, _DEMAND),
            ("output", stats.output_tokens, "#E69F00"),
        )
    ]
    return {
        "rate": {
            "data": [{"type": "scatter", "x": minutes, "y": per_s, "line": {"shape": "hv", "color": _DEMAND}}],
            "layout": {
                "title": {"text": "Requests per second, by minute"},
                "xaxis": {"title": {"text": "minute of the trace"}},
                "yaxis": {"title": {"text": "requests/s"}, "rangemode": "tozero"},
            },
        },
        "lengths": {
            "data": bars,
            "layout": {
                "title": {"text": "Tokens of prompts and outputs"},
                "xaxis": {"title": {"text": "percentile"}},
                "yaxis": {"title": {"text": "tokens"}, "type": "log"},
            },
        },
    }
