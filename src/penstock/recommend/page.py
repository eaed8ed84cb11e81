"""The answer as one HTML file with charts: self-contained, works offline, light and dark; in the style of the reports.

Data travels as JSON in which `<`, `>` and `&` are escaped, and the script puts it into the page as text. The file's
Content-Security-Policy allows its own blocks, by hash, and nothing else.
"""

import base64
import hashlib
import html
from collections.abc import Mapping
from importlib import resources
from typing import Any

import orjson

from penstock.telemetry.page_assets import page_text, plotly_script, plotly_style_places


def page(document: Mapping[str, Any]) -> str:
    """The page of `document.document`."""
    plotly = plotly_script().read_text(encoding="utf-8").replace("</script", "<\\/script")
    script = page_text("format.js") + _own("recommend.js")
    style = page_text("plotly.css") + page_text("page.css")
    data = orjson.dumps(document).decode()
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    policy = (
        f"default-src 'none'; script-src {_hash(plotly)} {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(f"{document['model']} · Penstock recommends"),
        "headline": html.escape(document["headline"]),
        "reasons": "".join(f"<li>{html.escape(reason)}</li>" for reason in document["reasons"]),
        "style": style,
        "plotly-styles": plotly_style_places(),
        "data": data,
        "plotly": plotly,
        "script": script,
    }
    # One pass over the template, so that nothing inside a part is taken for a place.
    first, *pieces = _own("recommend.html").split("{{")
    filled = [first]
    for piece in pieces:
        place, _, rest = piece.partition("}}")
        filled.append(parts[place] + rest)
    return "".join(filled)


def _own(name: str) -> str:
    return (resources.files("penstock.recommend") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
