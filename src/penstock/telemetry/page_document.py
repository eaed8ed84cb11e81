"""One self-contained HTML file from a template of `page/`: its style, plotly, its own script and its data inside.

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


def page_document(template: str, *, title: str, verdict: str, scripts: Sequence[str], data: Mapping[str, Any]) -> str:
    """Fill a template.

    Args:
        template, scripts: names of files in `page/`; the scripts in the order in which they run.
        verdict: the sentence that is read without JavaScript too.
        data: plain values.
    """
    plotly = plotly_script().read_text(encoding="utf-8").replace("</script", "<\\/script")
    script = "\n".join(page_text(name) for name in scripts)
    style = page_text("plotly.css") + page_text("page.css")
    text = orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    policy = (
        f"default-src 'none'; script-src {_hash(plotly)} {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    # One pass over the template, so that nothing inside a part is taken for a place.
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "verdict": html.escape(verdict),
        "style": style,
        "plotly-styles": plotly_style_places(),
        "data": text,
        "plotly": plotly,
        "script": script,
    }
    pieces = page_text(template).split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        place, _, rest = piece.partition("}}")
        filled.append(parts[place] + rest)
    return "".join(filled)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
