"""The answer of `recommend` as text of at most 80 columns: the ranking, what cannot and why, then the sentence."""

import textwrap
from io import StringIO

from rich.console import Console
from rich.table import Table

from penstock.recommend.answer import Answer
from penstock.recommend.option import Option
from penstock.recommend.reasons import sentence, usd_per_million_tokens

MOST_ESTIMATED = 6  # rows of options that were not simulated; JSON has them all
_WIDTH = 80


def recommend_table(answer: Answer) -> str:
    """Lines for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("VM size (Standard_)", no_wrap=True)
    for name in ("TP", "replicas", "TTFT p95", "ITL p95", "windows", "$/h", "$/Mtok"):
        table.add_column(name, justify="right", no_wrap=True)
    held = [option for option in answer.options if option.chosen is not None]
    estimated = [option for option in answer.options if option.why_not is None and not option.simulated]
    for option in [*held, *estimated[:MOST_ESTIMATED]]:
        table.add_row(*_cells(answer, option))
    out = StringIO()
    Console(file=out, width=_WIDTH, no_color=True).print(table)
    lines = [out.getvalue().rstrip(), ""] if held or estimated else []
    if estimated:
        more = len(estimated) - MOST_ESTIMATED
        rest = f"; {more} dearer ones are in --json" if more > 0 else ""
        lines += [*_wrapped(f"Without figures: estimated, not simulated, since no cheaper than the best{rest}."), ""]
    lines += _cannot(answer)
    lines += _wrapped(sentence(answer))
    return "\n".join(lines)


def _cells(answer: Answer, option: Option) -> list[str]:
    size = option.cut.size_for(sum(option.replicas))
    counts = option.replicas
    shown = f"{counts[0]}P+{counts[1]}D" if len(counts) == 2 else str(counts[0])
    chosen = option.chosen
    figures = ["", "", ""]
    if chosen is not None:
        figures = [_ms(chosen.result.ttft_s.p95), _ms(chosen.result.itl_s.p95), f"{chosen.attainment:.1%}"]
    price, per_million = option.usd_per_hour or 0.0, usd_per_million_tokens(answer, option) or 0.0
    name = size.name.removeprefix("Standard_")
    return [name, str(option.cut.gpus), shown, *figures, f"{price:,.2f}", f"{per_million:.2f}"]


def _cannot(answer: Answer) -> list[str]:
    """One line for each reason, with all the options that it is true of."""
    by_why: dict[str, list[str]] = {}
    for option in answer.options:
        if option.why_not is not None:
            names = by_why.setdefault(option.why_not, [])
            names.append(f"{option.name}, {option.mode}")
    lines = []
    for why, names in by_why.items():
        both = [name.removesuffix(", aggregated") for name in names if name.endswith(", aggregated")]
        both = [name for name in both if f"{name}, disaggregated" in names]
        left = [name for name in names if name.partition(",")[0] not in both]
        lines += _wrapped(f"{'; '.join([*both, *left])}: {why}.", indent="  ")
    return ["Not feasible:", *lines, ""] if lines else []


def _wrapped(text: str, *, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent * 2)


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1e3:.0f} ms" if value < 1 else f"{value:.2f} s"
