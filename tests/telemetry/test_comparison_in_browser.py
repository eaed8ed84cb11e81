"""The comparison report in Debian's chromium: ranked, overlaid, one instant in all charts, nothing loaded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from comparisons import write_compared
from playwright.sync_api import Browser, Page
from test_page_in_browser import CONTRASTS, Watched, browser, pytestmark, text, watch

__all__ = ["browser", "pytestmark"]  # a fixture and the marks that hold here too
CHARTS = ("replicas", "ttft", "itl", "queue", "kv", "cost")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_compared(tmp_path_factory.mktemp("compared"))


@pytest.fixture
def watched(browser: Browser, report: Path) -> Iterator[Watched]:
    seen = watch(browser, report.as_uri(), drawings=12)
    yield seen
    seen.page.close()


def lines(page: Page, chart: str) -> int:
    return page.locator(f"#chart-compared-{chart} .js-line").count()


def test_it_draws_every_chart_and_loads_nothing(watched: Watched) -> None:
    """No console message, no policy violation, no request beside the file; a line a deployment in each chart."""
    page = watched.page
    assert watched.errors == []
    assert watched.violations() == []
    assert [url for url in watched.requests[1:] if not url.startswith("data:")] == []
    assert {chart: lines(page, chart) for chart in CHARTS} == {
        "replicas": 5, "ttft": 4, "itl": 4, "queue": 3, "kv": 3, "cost": 3,
    }  # fmt: skip
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_table_ranks_and_the_sentence_agrees(watched: Watched) -> None:
    """The cheapest that attained comes first; the yardsticks stand below, without a rank."""
    page = watched.page
    rows = [row.locator("td").all_inner_texts() for row in page.locator(".ranking tbody tr").all()]
    assert [row[:2] for row in rows] == [
        ["1", "planner"],
        ["2", "keda"],
        ["3", "static"],
        ["", "hindsight: best simple policy"],
        ["", "optimum: clairvoyant"],
    ]
    assert [row[-1] for row in rows] == ["1.25", "2.50", "3.75", "1.25", "1.00"]
    assert text(page, ".verdict-sentence").startswith("planner: the cheapest of 3 that kept 50 % of windows within")
    ranking = page.locator("#ranking").bounding_box()
    assert ranking is not None
    assert ranking["y"] + ranking["height"] < 800


def test_pointing_at_one_chart_reads_all_deployments_at_that_instant(watched: Watched) -> None:
    """The tip has a row a deployment, every chart shows the line, the keyboard does the same and reads decisions."""
    page = watched.page
    frame = page.locator("#chart-compared-cost .frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 30)
    assert page.locator(".frame .cursor:visible").count() == len(CHARTS)
    assert [row.split("\n")[0] for row in page.locator(".tip-row").all_inner_texts()] == ["planner", "keda", "static"]
    page.mouse.move(5, 5)
    chart = page.locator("#chart-compared-replicas .frame")
    chart.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    said = chart.get_attribute("aria-valuetext")
    assert said is not None
    assert "needed 1" in said
    assert "within the lead time" in said


def test_a_switch_hides_a_deployment_in_every_chart(watched: Watched) -> None:
    """And shows it again; its figures stay in the tables."""
    page = watched.page
    before = {chart: lines(page, chart) for chart in CHARTS}
    switch = page.get_by_role("button", name="keda", exact=True)
    switch.press("Enter")
    assert switch.get_attribute("aria-pressed") == "false"
    assert {chart: lines(page, chart) for chart in CHARTS} == {chart: count - 1 for chart, count in before.items()}
    switch.press("Enter")
    assert {chart: lines(page, chart) for chart in CHARTS} == before


def test_a_line_never_leaves_the_plot(watched: Watched) -> None:
    """Plotly takes numbers of four digits for years: the first seconds of virtual time must not be drawn as such."""
    ends = watched.page.evaluate(
        "[...document.querySelectorAll('.js-line')]"
        ".flatMap((line) => line.getAttribute('d').match(/-?[\\d.]+(?=,)/g).map(Number))"
    )
    assert ends
    assert min(ends) > -20
    assert max(ends) < 1400


def test_each_chart_has_a_table(watched: Watched) -> None:
    """With a column a deployment."""
    page = watched.page
    page.locator("#chart-compared-ttft").get_by_role("button").click()
    head = page.locator(".table-dialog thead th").all_inner_texts()
    assert head == ["Time", "planner", "keda", "static", "target"]
    assert page.locator(".table-dialog tbody tr").count() > 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_contrast_and_fits_a_phone(browser: Browser, report: Path, scheme: str) -> None:
    """WCAG AA in both schemes, and no sideways scrolling at 400 px."""
    watched = watch(browser, report.as_uri(), drawings=12, color_scheme=scheme, viewport={"width": 400, "height": 800})
    page = watched.page
    poor = [each for each in page.evaluate(CONTRASTS) if each["ratio"] < (3 if each["size"] >= 24 else 4.5)]
    assert poor == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()


def test_a_hostile_name_stays_text(browser: Browser, tmp_path: Path) -> None:
    """A file may be called anything."""
    name = "<img src=x onerror=window.owned=1>{{script}}"
    watched = watch(browser, write_compared(tmp_path, (name, "b")).as_uri(), drawings=12)
    assert watched.page.evaluate("window.owned") is None
    assert watched.violations() == []
    assert name in text(watched.page, ".ranking")
    watched.page.close()
