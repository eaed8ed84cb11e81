"""One self-contained HTML file: a body in `page/document.html`, with its style, plotly, its own script and its data.

Everything recorded is data, never markup: it travels as JSON in which `<`, `>` and `&` are escaped, and the script puts
it into the document as text. The file carries a Content-Security-Policy that allows its own blocks, by hash, and
nothing else: it loads nothing and sends nothing.
"""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from penstock.telemetry.page_assets import page_text, plotly_script, plotly_style_places


def page_document(
    body: str, *, title: str, texts: Mapping[str, str | Sequence[str]], scripts: Sequence[str], data: Mapping[str, Any]
) -> str:
    """Put it together.

    Args:
        body: HTML with `{{places}}`.
        texts: for its places, read without JavaScript too; several are the items of a list.
        scripts: source texts, in the order in which they run.
        data: plain values.
    """
    plotly = plotly_script().read_text(encoding="utf-8").replace("</script", "<\\/script")
    script = "\n".join(scripts)
    style = page_text("plotly.css") + page_text("page.css")
    text = orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    policy = (
        f"default-src 'none'; script-src {_hash(plotly)} {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "style": style,
        "plotly-styles": plotly_style_places(),
        "body": _filled(body, {place: _markup(each) for place, each in texts.items()}),
        "data": text,
        "plotly": plotly,
        "script": script,
    }
    return _filled(page_text("document.html"), parts)


def _markup(text: str | Sequence[str]) -> str:
    if isinstance(text, str):
        return html.escape(text)
    return "".join(f"<li>{html.escape(item)}</li>" for item in text)


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """In one pass, so that nothing inside a part is taken for a place."""
    pieces = template.split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        place, _, rest = piece.partition("}}")
        filled.append(parts[place] + rest)
    return "".join(filled)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
