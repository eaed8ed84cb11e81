"""The answer as one HTML file with charts, in the style of the reports; put together as they are (`page_document`)."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from penstock.telemetry.page_assets import page_text
from penstock.telemetry.page_document import page_document


def page(document: Mapping[str, Any]) -> str:
    """The page of `document.document`."""
    return page_document(
        _own("recommend.html"),
        title=f"{document['model']} · Penstock recommends",
        texts={"headline": document["headline"], "reasons": document["reasons"]},
        scripts=(page_text("format.js"), _own("recommend.js")),
        data=document,
    )


def _own(name: str) -> str:
    return (resources.files("penstock.recommend") / "page" / name).read_text(encoding="utf-8")
