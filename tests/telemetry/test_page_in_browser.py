"""The live page and the report in Debian's chromium: what a person sees, hears and reaches with the keyboard."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_run import FakeRun, deployment, record
from live_page import LivePage
from playwright.sync_api import Browser, Page, sync_playwright
from screenshots import CHROMIUM, FLAGS

from penstock.telemetry.feed import Feed
from penstock.telemetry.report import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium here"),
]
AHEAD_S = 300
WIDE = {"width": 1280, "height": 800}

# Text and what lies behind it, for every element that has text of its own.
CONTRASTS = """() => {
  const parse = (text) => { const m = text.match(/[\\d.]+/g).map(Number); return text.startsWith('color(srgb')
    ? [m[0] * 255, m[1] * 255, m[2] * 255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('svg, script, .sr-only, noscript, option')) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const [a, b] = [light(over(parse(style.color), ground)), light(ground)].sort((x, y) => y - x);
    const text = element.textContent.trim().slice(0, 40);
    found.push({ text, ratio: (a + 0.05) / (b + 0.05), size: parseFloat(style.fontSize) });
  }
  return found;
}"""


@dataclass
class Watched:
    """A page, and all that must not have happened on it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def violations(self) -> list[str]:
        found: list[str] = self.page.evaluate("window.violations")
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def run() -> FakeRun:
    return FakeRun(deployment(), seed=5)


@pytest.fixture
def live(run: FakeRun) -> Iterator[LivePage]:
    feed = Feed(run.spec, costs=lambda: run.costs, started_unix_s=1_790_000_000.0)
    with LivePage(feed) as live:
        live.tell(run.events(AHEAD_S))
        yield live


def watch(browser: Browser, url: str, *, drawings: int = 16, **options: Any) -> Watched:
    """Open a page, listen to what goes wrong, and wait for so many drawings."""
    page = browser.new_page(**{"viewport": WIDE, **options})
    watched = Watched(page)
    page.on("console", lambda said: watched.errors.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("request", lambda request: watched.requests.append(request.url))
    page.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation',"
        " (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));"
    )
    page.goto(url)
    until(page, f"document.querySelectorAll('.plot .main-svg').length >= {drawings}")
    return watched


def until(page: Page, condition: str, timeout_s: float = 10.0) -> None:
    """Wait for a condition in the page. Playwright's own waiting evaluates strings there, which the policy forbids."""
    ends = time.monotonic() + timeout_s
    while not page.evaluate(condition):
        assert time.monotonic() < ends, condition
        page.wait_for_timeout(50)


def text(page: Page, place: str) -> str:
    return page.locator(place).inner_text().strip()


def test_the_page_shows_its_figures_without_an_error(browser: Browser, live: LivePage) -> None:
    """No console message, no policy violation, no request to another origin; the large figures are there."""
    watched = watch(browser, live.url)
    page = watched.page
    page.wait_for_timeout(1500)
    assert watched.errors == []
    assert watched.violations() == []
    assert [url for url in watched.requests if not url.startswith((live.url, "data:"))] == []
    assert re.fullmatch(r"\d+", text(page, "#ttft-value"))
    assert text(page, "#state") in ("✓ Within target", "▲ Over target")
    assert text(page, "#rate-value").startswith("$")
    assert "requests/s" in text(page, "#pool-worker-why")
    page.close()


def test_figures_and_log_follow_the_run(browser: Browser, live: LivePage, run: FakeRun) -> None:
    """A minute later the clock, the figures and the log have moved on by themselves."""
    watched = watch(browser, live.url)
    page = watched.page
    before = text(page, "#elapsed")
    page.get_by_label("also when nothing changed").check()
    first = page.locator("#log-list li").first.inner_text()
    live.tell(run.events(AHEAD_S + 60, from_s=AHEAD_S))
    until(page, f"document.getElementById('elapsed').textContent !== '{before}'")
    assert text(page, "#elapsed") == "run 5 min 59 s"
    assert page.locator("#log-list li").first.inner_text() != first
    page.close()


def test_the_first_screen_answers_all_five_questions(browser: Browser, live: LivePage) -> None:
    """At 1280 x 800 every section begins, and all but the log's tail ends, within the first screen."""
    watched = watch(browser, live.url)
    tops = watched.page.evaluate(
        "[...document.querySelectorAll('main > section')]"
        ".map((section) => section.getBoundingClientRect()).map((box) => [box.top, box.bottom])"
    )
    assert len(tops) == 5
    assert all(bottom <= 800 for _, bottom in tops), tops
    assert [top for top, _ in tops] == sorted(top for top, _ in tops)
    watched.page.close()


def test_the_log_filters_by_pool(browser: Browser) -> None:
    """With two pools: choosing one leaves only its decisions."""
    run = FakeRun(deployment(2), seed=5)
    with LivePage(Feed(run.spec, costs=lambda: run.costs)) as live:
        live.tell(run.events(AHEAD_S))
        watched = watch(browser, live.url)
        page = watched.page
        page.select_option("#log-filter", "decode")
        tags = page.locator("#log-list li .tag:not(.limit)").all_inner_texts()
        assert tags
        assert set(tags) == {"decode"}
        page.close()


def test_a_decisions_link_shows_its_moment_in_all_charts(browser: Browser, live: LivePage) -> None:
    """Every chart's line is at that instant, and the tip reads the sentence."""
    watched = watch(browser, live.url)
    page = watched.page
    page.wait_for_selector("#log-list li")
    entry = page.locator("#log-list li").first
    sentence = entry.locator("p").inner_text()
    entry.locator("a").click()
    until(page, "document.querySelectorAll('.frame .cursor:not([hidden])').length === 9")
    assert sentence in text(page, ".tip")
    page.locator("h1").click()
    assert page.locator(".frame .cursor:visible").count() == 0
    page.close()


def test_hover_shows_the_same_instant_everywhere(browser: Browser, live: LivePage) -> None:
    """Pointing at one chart moves the line of all; readouts change; leaving puts them back."""
    watched = watch(browser, live.url)
    page = watched.page
    now = text(page, "#chart-itl .legend-value >> nth=0")
    frame = page.locator("#chart-worker-demand .frame").bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + frame["width"] / 3, frame["y"] + 30)
    assert page.locator(".frame .cursor:visible").count() == page.locator(".frame").count()
    share = "(f) => (parseFloat(f.querySelector('.cursor').style.transform.slice(11)) - 46) / (f.clientWidth - 56)"
    shares = page.evaluate(f"[...document.querySelectorAll('.frame')].map({share})")
    assert max(shares) - min(shares) < 0.01
    page.mouse.move(5, 5)
    assert page.locator(".frame .cursor:visible").count() == 0
    assert text(page, "#chart-itl .legend-value >> nth=0") == now
    page.close()


def test_the_keyboard_reaches_filter_and_log_and_moves_the_instant(browser: Browser, live: LivePage) -> None:
    """Tab visits the skip link first, charts, filter and log; arrows on a chart speak values; Escape lets go."""
    watched = watch(browser, live.url)
    page = watched.page
    visited = []
    for _ in range(60):
        page.keyboard.press("Tab")
        visited.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if visited[-1] == "log-scroll":
            break
    assert visited[0] == "skip"
    assert visited.index("frame") < visited.index("log-filter") < visited.index("log-all") < visited.index("log-scroll")
    chart = page.locator("#chart-worker-replicas .frame")
    chart.focus()
    page.keyboard.press("Home")
    first = chart.get_attribute("aria-valuetext")
    page.keyboard.press("Shift+ArrowRight")
    second = chart.get_attribute("aria-valuetext")
    assert first is not None
    assert second is not None
    assert "ready" in first
    assert "within the lead time" in second
    page.keyboard.press("Escape")
    assert page.locator(".frame .cursor:visible").count() == 0
    page.close()


def test_focus_is_visible(browser: Browser, live: LivePage) -> None:
    """The focused chart has an outline of at least two pixels."""
    watched = watch(browser, live.url)
    page = watched.page
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
    page.close()


def test_each_chart_has_a_table_with_its_data(browser: Browser, live: LivePage) -> None:
    """Every chart's button opens a table whose newest row is what the legend says now; Escape closes it."""
    watched = watch(browser, live.url)
    page = watched.page
    charts = page.locator("figure.chart")
    assert charts.count() == 9
    for place in range(charts.count()):
        chart = charts.nth(place)
        now = chart.locator(".legend-value").all_inner_texts()
        chart.get_by_role("button").click()
        table = page.locator(".table-dialog table")
        assert table.locator("tbody tr").count() == 60
        assert table.locator("tbody tr").first.locator("td").all_inner_texts()[1:] == now
        page.keyboard.press("Escape")
        assert not page.locator(".table-dialog").is_visible()
    page.close()


def test_a_silent_control_loop_reads_as_stale(browser: Browser, live: LivePage, run: FakeRun) -> None:
    """After a few seconds without an observation the page says for how long, and stops saying so when one comes."""
    watched = watch(browser, live.url)
    page = watched.page
    page.wait_for_selector("[data-fresh=stale]", timeout=10_000)
    assert re.match(r"No data for \d+ s: the control loop is silent", text(page, "#notice"))
    assert text(page, "#state") == "? Not known: old data"
    live.tell(run.events(AHEAD_S + 1, from_s=AHEAD_S))
    page.wait_for_selector("[data-fresh=live]")
    assert not page.locator("#notice").is_visible()
    page.close()


def test_a_lost_connection_is_said_and_mended(browser: Browser, run: FakeRun) -> None:
    """The server goes: stale, with the reason. A server without data yet: waiting, not an error."""
    feed = Feed(run.spec)
    with LivePage(feed) as live:
        page = browser.new_page(viewport=WIDE)
        page.goto(live.url)
        until(page, "document.getElementById('notice-text').textContent.startsWith('Waiting')")
        assert page.locator(".plot-note").first.inner_text() == "waiting for the first observation"
        assert text(page, "#log-empty") == "No decision yet."
        live.tell(run.events(30))
        page.wait_for_selector("[data-fresh=live]")
    page.wait_for_selector("[data-fresh=stale]", timeout=10_000)
    assert "connection lost" in text(page, "#notice")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: Browser, live: LivePage, scheme: str) -> None:
    """WCAG AA: 4.5 for text, 3 for large text, in both schemes."""
    watched = watch(browser, live.url, color_scheme=scheme)
    found = watched.page.evaluate(CONTRASTS)
    assert len(found) > 60
    poor = [each for each in found if each["ratio"] < (3 if each["size"] >= 24 else 4.5)]
    assert poor == []
    watched.page.close()


def test_a_phone_scrolls_one_way_only(browser: Browser, live: LivePage) -> None:
    """400 px wide: nothing sticks out sideways, and the order stays."""
    watched = watch(browser, live.url, viewport={"width": 400, "height": 800})
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 400
    watched.page.close()


def test_landmarks_and_names_are_there(browser: Browser, live: LivePage) -> None:
    """One main, one h1, five named regions; every control and chart has a name."""
    watched = watch(browser, live.url)
    page = watched.page
    assert page.locator("main").count() == 1
    assert page.locator("h1").count() == 1
    assert page.get_by_role("region").count() >= 5
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, select, input, [role=slider], [role=log], a')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim()"
        " || e.closest('label'))).length"
    )
    assert unnamed == 0
    assert page.locator("[aria-live=polite]").count() == 2
    page.close()


def test_the_report_opens_from_a_file_and_loads_nothing(browser: Browser, tmp_path: Path) -> None:
    """No console message, no policy violation, no request beside the file itself; the verdict is on top."""
    record(tmp_path, length_s=400, with_nodes=True)
    watched = watch(browser, write_report(tmp_path).as_uri())
    page = watched.page
    assert watched.errors == []
    assert watched.violations() == []
    assert [url for url in watched.requests[1:] if not url.startswith("data:")] == []
    assert "of windows within target" in text(page, ".verdict-sentence")
    assert page.locator("#slowest tbody tr").count() == 20
    assert page.locator("#node-charts .js-fill").count() >= 4
    assert "InferenceDeployment" in text(page, "#spec")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    poor = [each for each in page.evaluate(CONTRASTS) if each["ratio"] < (3 if each["size"] >= 24 else 4.5)]
    assert poor == []
    page.close()


def test_hostile_data_in_a_report_stays_text(browser: Browser, tmp_path: Path) -> None:
    """A reason, an error, a name that look like markup are shown as they are, and run nothing."""
    outcomes = record(tmp_path, length_s=120)
    attack = "</script><img src=x onerror=window.owned=1>{{script}}\u2028"
    for name, field_name in (("decisions.jsonl", "reason"), ("requests.jsonl", "id")):
        lines = (tmp_path / name).read_text().splitlines()
        pattern = rf'"{field_name}":"[^"]*"'
        (tmp_path / name).write_text(
            "\n".join(re.sub(pattern, f'"{field_name}":"{attack}"', line, count=1) for line in lines)
        )
    assert outcomes
    watched = watch(browser, write_report(tmp_path).as_uri())
    page = watched.page
    assert not page.locator("#nodes").is_visible()  # this run has none
    assert page.evaluate("window.owned") is None
    assert watched.violations() == []
    assert attack.strip("\u2028") in page.locator("#log-list li p").first.inner_text()
    assert attack.strip("\u2028") in page.locator("#slowest tbody td").first.inner_text()
    page.close()
