"""The page's own files (`page/`) and plotly's bundled script: read from the package, never from the network."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    content: bytes
    media_type: str


@cache
def page_asset(name: str) -> Asset:
    """A file of `page/`. Raises: FileNotFoundError."""
    content = (resources.files("penstock.telemetry") / "page" / name).read_bytes()
    return Asset(content, _TYPES[Path(name).suffix])


def page_text(name: str) -> str:
    """A file of `page/` as text. Raises: FileNotFoundError."""
    return page_asset(name).content.decode()


def plotly_script() -> Path:
    """Plotly's browser script, as the Python package ships it (MIT licence). Found without importing plotly: 0.3 s."""
    package = metadata.distribution("plotly")
    return Path(str(package.locate_file("plotly/package_data/plotly.min.js")))


def plotly_version() -> str:
    """Names the script, so that a browser may keep it for good."""
    return metadata.version("plotly")


@cache
def plotly_style_ids() -> tuple[str, ...]:
    """Ids of the style elements that the script would insert as it loads, for maps that we don't draw.

    It leaves out those that it finds in the document, and under our Content-Security-Policy it has to: their names are
    hashes of their content, so they change with the version and are looked up in the script.
    """
    found = re.findall(r'document\.getElementById\("([0-9a-f]{64})"\)', plotly_script().read_text(encoding="utf-8"))
    return tuple(dict.fromkeys(found))


def plotly_style_places() -> str:
    """HTML elements that stand in for those style elements."""
    return "".join(f'<meta name="plotly-style" content="not used" id="{each}">' for each in plotly_style_ids())
