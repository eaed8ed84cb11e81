"""Screenshots of the live page or of a report, as a person would see them: `python screenshots.py TARGET OUT_DIR`.

TARGET is a URL or the path of a report. Makes light.png and dark.png (1280 x 800), narrow.png (400 x 800) and full.png.
"""

import argparse
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 400, "height": 800}, "color_scheme": "light"},
    "full": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
}


def take(target: str, out: Path, *, wait_ms: int = 2500, names: tuple[str, ...] = tuple(SHOTS)) -> list[Path]:
    """Take the named shots; returns their paths."""
    url = target if "://" in target else Path(target).resolve().as_uri()
    out.mkdir(parents=True, exist_ok=True)
    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in names:
            page = browser.new_page(**SHOTS[name])
            page.goto(url)
            page.wait_for_timeout(wait_ms)
            path = out / f"{name}.png"
            page.screenshot(path=path, full_page=name in ("full", "narrow"))
            taken.append(path)
            page.close()
        browser.close()
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    take(given.target, given.out)
