"""The documents are true to the code: generated pages are current and whole, and links lead somewhere."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("*.md"))
GENERATED = ["spec.md", "world.md", "cli.md", "metrics.md", "deployment.schema.json"]
_LINK = re.compile(r"(?:\]\(|(?:src|srcset)=\")(?!https?://)([^)#\s\"]*)(?:#([^)\s\"]+))?")
_SOURCE = re.compile(r"(?<![\w/.:-])((?:[\w.-]+/)+[\w.-]+\.py)\b")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
MOST_IMAGE_BYTES = 200_000


def _generator() -> ModuleType:
    module_spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", GENERATED)
def test_generated_reference_is_current(name: str) -> None:
    """Every field, option and metric is documented as it is; else `make docs`."""
    assert (ROOT / "docs" / "reference" / name).read_text() == _generator().pages()[name]


@pytest.mark.parametrize("name", ["spec.md", "world.md", "cli.md", "metrics.md"])
def test_every_field_option_and_metric_says_what_it_does(name: str) -> None:
    """No row of a generated table ends in an empty cell, and no table is empty."""
    lines = (ROOT / "docs" / "reference" / name).read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) > 10
    assert [row for row in rows if not row.strip(" |").split(" | ")[-1] or row.endswith("|  |")] == []
    after_head = [lines[number + 1 : number + 2] for number, line in enumerate(lines) if line.startswith("|---")]
    assert all(after and after[0].startswith("| ") for after in after_head)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link and image is there, and each anchor is a heading of its page."""
    missing = []
    for link, anchor in _LINK.findall(_CODE.sub("", page.read_text())):
        target = page.parent / link if link else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            missing.append(f"{link}#{anchor}")
    assert not missing


def test_every_page_is_found_from_the_first() -> None:
    """docs/README.md links to each, or to the folder that it is in."""
    first = ROOT / "docs" / "README.md"
    linked = {(first.parent / link).resolve() for link, _ in _LINK.findall(first.read_text())}
    assert [page for page in first.parent.glob("**/*.md") if not {page, page.parent} & {*linked, first}] == []


def test_readme_is_short() -> None:
    """At most 150 lines, and it names the test command."""
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    assert "make test\n" in readme


def test_images_are_small_and_shown() -> None:
    """Each picture is used by a page, and none weighs the repository down."""
    shown = "".join(page.read_text() for page in PAGES)
    for image in (ROOT / "docs" / "images").iterdir():
        assert image.name in shown
        assert image.stat().st_size < MOST_IMAGE_BYTES


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name != "design"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_source_files_that_a_page_names_exist(page: Path) -> None:
    """From the repository's root, or from src/penstock. Designs may speak of what is to come, or was."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    named = [name for span in spans for name in _SOURCE.findall(span)]
    assert [name for name in named if not ((ROOT / name).exists() or (ROOT / "src/penstock" / name).exists())] == []


@pytest.mark.parametrize("server", ["gateway", "worker"])
def test_every_error_code_and_path_of_a_server_is_documented(server: str) -> None:
    """What the source can answer with stands in docs/reference/http.md."""
    source = "".join(path.read_text() for path in (ROOT / "src" / "penstock" / server).glob("*.py"))
    codes = set(re.findall(r"\bcode=\"(\w+)\"", source))
    paths = set(re.findall(r"b?\"(/(?:v1|health|live|metrics|tokenize|drain|internal)[\w/]*)", source))
    page = (ROOT / "docs" / "reference" / "http.md").read_text()
    assert len(codes) > 3
    assert len(paths) > 3
    assert [name for name in codes | paths if f"`{name}" not in page and f" {name}" not in page] == []
