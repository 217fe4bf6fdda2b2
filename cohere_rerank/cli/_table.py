"""A ranking for the eye: rank, score, bar, place, and the start of the text, or of what is relevant in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

try:
    from rich.bar import Bar
    from rich.cells import cell_len, chop_cells
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
except ImportError:
    raise ImportError('the table needs rich; pip install "cohere-rerank[cli]", or ask for --json') from None

if TYPE_CHECKING:
    from cohere_rerank.types import V2RerankResponseResultsItem

    from ._read import Item

__all__ = ["print_ranking"]

_BAR_CELLS = 10
_PLACE_CELLS = 28
_NUMBER_CELLS = 16  # rank, score and the space between all columns
_LEAD = 12  # characters shown before the first relevant span, where it is far from the start
_JOINERS = "\u200c\u200d"  # not printable by themselves, but Persian, Indic scripts and emoji need them


class _Console(Console):
    """Lets a reader that went away be known; rich would end the program itself, as failed."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def print_ranking(results: Sequence[V2RerankResponseResultsItem], items: Sequence[Item]) -> None:
    """Print one line a result, as wide as the terminal; NO_COLOR is heeded."""
    console = _Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    widest = min(_PLACE_CELLS, console.width // 3)
    room = max(console.width - _BAR_CELLS - _NUMBER_CELLS - widest, _BAR_CELLS)
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column("", width=_BAR_CELLS)
    table.add_column("place", no_wrap=True, style="dim")
    table.add_column("document", no_wrap=True, overflow="ellipsis", ratio=1)
    for rank, result in enumerate(results, start=1):
        share = min(max(result.relevance_score, 0.0), 1.0)
        bar = Bar(1.0, 0.0, share, width=_BAR_CELLS, color="cyan")
        place = _shown(items[result.index].place)
        place = place if cell_len(place) <= widest else "…" + chop_cells(place[::-1], widest - 1)[0][::-1]
        table.add_row(
            str(rank), f"{result.relevance_score:.3f}", bar, Text(place), _excerpt(result, room, console.width)
        )
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
