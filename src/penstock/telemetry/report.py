"""A run's directory in, one HTML file out: self-contained, so that it can be mailed, with the charts of the live page.

The recorded observations and decisions are replayed into a `Feed`, so a report shows what the page showed, over the
whole run; windows and the slowest requests come from `requests.jsonl`. What a run did not record is said to be missing.

How a document is put together, and what it may do: `page_document`. Several runs in one: `comparison_report`.
"""

import heapq
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from penstock.errors import InputError
from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.messages.outcome import Ending, RequestOutcome
from penstock.messages.parse_spec import parse_spec
from penstock.messages.spec import SloSpec
from penstock.telemetry.feed import Feed
from penstock.telemetry.journal import DECISIONS, HISTORY, read_decisions, read_history
from penstock.telemetry.ledger import Ledger
from penstock.telemetry.page_assets import page_text
from penstock.telemetry.page_document import page_document
from penstock.telemetry.requests_file import read_requests
from penstock.telemetry.run_info import RunInfo, read_run_info
from penstock.telemetry.summary import Summary, Window, result_to_json
from penstock.telemetry.verdict import verdict

REPORT = "report.html"
REQUESTS = "requests.jsonl"
SUMMARY = "summary.json"
MAX_MOMENTS = 3000  # drawn; a longer run shows one observation in k
MAX_DECISIONS = 2000  # listed; beyond, those that changed nothing are left out first
SLOWEST = 20
SCRIPTS = ("format.js", "charts.js", "figures.js", "parts.js")  # what every report draws with


def write_report(directory: Path) -> Path:
    """Write `report.html` beside a run's files; returns its path. Raises: InputError, if it is no run's directory."""
    return write_described(directory, describe_run(directory))


def write_described(directory: Path, run: dict[str, Any]) -> Path:
    """The same, of a run that has been described already."""
    path = directory / REPORT
    path.write_text(render(run), encoding="utf-8")
    return path


def describe_run(directory: Path) -> dict[str, Any]:
    """All that a report shows of one run, as plain values."""
    info = read_run_info(directory)
    deployment = parse_spec(info.spec, source=str(directory / "run.json"))
    slo = deployment.spec.slo
    ledger = Ledger.of(deployment.spec)
    feed = Feed(
        deployment,
        costs=ledger.costs,
        started_unix_s=info.started_unix_s,
        hold_s=float("inf"),
        max_moments=MAX_MOMENTS + 2,
        max_decisions=1_000_000,
    )
    thinned = _replay(directory, feed, ledger)
    summary, slowest, lost = _read_requests(directory / REQUESTS, slo)
    history = feed.history()
    history["decisions"] = _most_telling(history["decisions"])
    history["meta"]["utc_offset_s"] = info.utc_offset_s
    document = _read_summary(directory / SUMMARY) or result_to_json(summary.result())
    judged = verdict(document, summary.windows, slo, history, lambda time_s: _clock(info, time_s))
    return {
        "info": asdict(info),
        "verdict": asdict(judged),
        "summary": document,
        "history": history,
        "one_in": thinned,
        "windows": [_window(window, slo) for window in summary.windows],
        "slowest": [_request(outcome) for outcome in slowest],
        "lost": [_request(outcome) for outcome in lost],
        "recorded": {name: (directory / name).exists() for name in (REQUESTS, DECISIONS, HISTORY, SUMMARY)},
    }


def render(run: dict[str, Any]) -> str:
    """The report as one HTML document."""
    return page_document(
        page_text("report.html"),
        title=f"{run['history']['meta']['name']} · Penstock report",
        texts={"verdict": run["verdict"]["sentence"]},
        scripts=tuple(map(page_text, (*SCRIPTS, "report.js"))),
        data=run,
    )


def _replay(directory: Path, feed: Feed, ledger: Ledger) -> int:
    """Tell feed and ledger what was recorded; returns k, where one observation in k is drawn."""
    history, decisions = directory / HISTORY, directory / DECISIONS
    one_in = max(1, -(-_lines(history) // MAX_MOMENTS))
    events = heapq.merge(
        _numbered(read_history(history) if history.exists() else ()),
        _numbered(read_decisions(decisions) if decisions.exists() else (), late=1),
        key=lambda event: event[:2],
    )
    latest: Observation | None = None
    for _, _, number, event in events:
        if isinstance(event, Decision):
            feed.decided(event)
            continue
        ledger.observed(event)
        latest = event
        if number % one_in == 0:
            feed.observed(event)
            latest = None
    if latest is not None:
        feed.observed(latest)  # the end is always shown
    return one_in


def _numbered(
    events: Iterable[Observation | Decision], late: int = 0
) -> Iterator[tuple[float, int, int, Observation | Decision]]:
    """With what sorts them: their instant, and decisions after the observation that they rest on."""
    for number, event in enumerate(events):
        yield event.time_s, late, number, event


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _read_requests(path: Path, slo: SloSpec) -> tuple[Summary, list[RequestOutcome], list[RequestOutcome]]:
    """Windows, the slowest completed requests, and the first that were refused or failed; one pass."""
    summary = Summary(slo, window_latencies=True)
    slowest: list[tuple[float, int, RequestOutcome]] = []
    lost: list[RequestOutcome] = []
    for number, outcome in enumerate(read_requests(path) if path.exists() else ()):
        summary.add(outcome)
        if outcome.ending is not Ending.COMPLETED:
            if len(lost) < SLOWEST:
                lost.append(outcome)
        elif outcome.ttft_s is not None:
            heapq.heappush(slowest, (outcome.ttft_s, -number, outcome))
            if len(slowest) > SLOWEST:
                heapq.heappop(slowest)
    return summary, [outcome for *_, outcome in sorted(slowest, reverse=True)], lost


def _read_summary(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        document = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(str(path), "not JSON", "run it again, or remove the file") from error
    if not isinstance(document, dict):
        raise InputError(str(path), "not a JSON object", "run it again, or remove the file")
    return document


def _most_telling(decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(decisions) > MAX_DECISIONS:
        decisions = [each for each in decisions if each["current"] != each["desired"]]
    return decisions[-MAX_DECISIONS:]


def _window(window: Window, slo: SloSpec) -> dict[str, Any]:
    return {
        "start_s": window.start_s,
        "requests": window.requests,
        "rejected": window.rejected,
        "failed": window.failed,
        "met": window.met(slo),
        "ttft_s": window.ttft.percentile(slo.percentile) if window.ttft is not None else None,
        "itl_s": window.itl.percentile(slo.percentile) if window.itl is not None else None,
    }


def _request(outcome: RequestOutcome) -> dict[str, Any]:
    """Without the gaps: they may be thousands."""
    gaps = sum(tokens for _, tokens in outcome.itl_s)
    mean_itl_s = sum(gap_s * tokens for gap_s, tokens in outcome.itl_s) / gaps if gaps else None
    told = {name: getattr(outcome, name) for name in ("id", "intended_s", "sent_s", "ttft_s", "e2e_s", "error")}
    return told | {
        "ending": str(outcome.ending),
        "status": outcome.status,
        "mean_itl_s": mean_itl_s,
        "prompt_tokens": outcome.prompt_tokens,
        "prompt_cached_tokens": outcome.prompt_cached_tokens,
        "output_tokens": outcome.output_tokens,
    }


def _clock(info: RunInfo, time_s: float) -> str:
    origin_s = 0.0 if info.started_unix_s is None else info.started_unix_s + info.utc_offset_s
    return time.strftime("%H:%M:%S", time.gmtime(origin_s + time_s))
