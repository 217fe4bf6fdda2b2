"""A ranking for the eye: rank, score, bar, place, and the start of the text, or of what is relevant in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from cohere_rerank.types import V2RerankResponseResultsItem

    from ._read import Item

__all__ = ["print_ranking"]

_BAR_CELLS = 10
_PLACE_CELLS = 28
_LEAD = 12  # characters shown before the first relevant span, where it is far from the start
_JOINERS = "\u200c\u200d"  # not printable by themselves, but Persian, Indic scripts and emoji need them


def print_ranking(results: Sequence[V2RerankResponseResultsItem], items: Sequence[Item]) -> None:
    """Print one line a result, as wide as the terminal; NO_COLOR is heeded."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column("", width=_BAR_CELLS)
    table.add_column("place", no_wrap=True, max_width=_PLACE_CELLS, style="dim")
    table.add_column("document", no_wrap=True, overflow="ellipsis", ratio=1)
    room = max(console.width - 2 * _BAR_CELLS - _PLACE_CELLS, _BAR_CELLS)
    for rank, result in enumerate(results, start=1):
        share = min(max(result.relevance_score, 0.0), 1.0)
        bar = Bar(1.0, 0.0, share, width=_BAR_CELLS, color="cyan")
        place = Text(_shown(items[result.index].place))
        table.add_row(str(rank), f"{result.relevance_score:.3f}", bar, place, _excerpt(result, room, console.width))
    console.print(table)


def _excerpt(result: V2RerankResponseResultsItem, room: int, width: int) -> Text:
    spans = result.relevant_spans or []
    start = max(spans[0].start - _LEAD, 0) if spans and spans[0].end > room else 0
    end = start + 2 * width  # more than any line shows; rich cuts it to the cell
    sent: str = getattr(result, "_sent_text", "")
    text = Text(("…" if start else "") + _shown(sent[start:end]))
    shift = len(text) - len(sent[start:end]) - start
    for span in spans:
        if span.end > start and span.start < end:
            text.stylize("bold green", max(span.start, start) + shift, min(span.end, end) + shift)
    return text


def _shown(text: str) -> str:
    """The text, letter by letter, on one line and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in text)
