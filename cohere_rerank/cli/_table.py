"""A ranking as a table: rank, score, bar, place, and the start of the text or of its relevant part."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cohere_rerank._extras import importing

with importing("cli", "The table"):
    from rich.bar import Bar
    from rich.cells import cell_len, chop_cells
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

if TYPE_CHECKING:
    from cohere_rerank.types import V2RerankResponseResultsItem

    from ._read import Item

__all__ = ["print_ranking"]

_BAR_CELLS = 10
_PLACE_CELLS = 28
_NUMBER_CELLS = 16  # rank, score and the space between the columns
_CONTEXT_CHARS = 12  # shown before the best span if that is far from the start
_PLAIN_MARKS = ("[", "]")  # around a span if there are no colours
_WHITESPACE = re.compile(r"\s+")
_JOINERS = "\u200c\u200d"  # not printable alone, but Persian, Indic scripts and emoji need them


class _Console(Console):
    """Raise an error when the output is closed. By default, rich would exit with code 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def print_ranking(results: Sequence[V2RerankResponseResultsItem], items: Sequence[Item]) -> None:
    """Print one line for each result, as wide as the terminal. NO_COLOR turns colours off.

    Spans are bold and green, or in brackets if the output has no colours, such as a pipe or a file.
    """
    console = _Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    marks = ("", "") if console.color_system else _PLAIN_MARKS
    places = [_printable(items[result.index].place) for result in results]
    widest = min(_PLACE_CELLS, console.width // 3, max(map(cell_len, ("place", *places))))
    n_cells = max(console.width - _BAR_CELLS - _NUMBER_CELLS - widest, _BAR_CELLS)
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("score", justify="right")
    table.add_column("", width=_BAR_CELLS)
    table.add_column("place", no_wrap=True, style="dim")
    table.add_column("document", no_wrap=True, overflow="ellipsis", ratio=1)
    for rank, (result, place) in enumerate(zip(results, places), start=1):
        share = min(max(result.relevance_score, 0.0), 1.0)
        bar = Bar(1.0, 0.0, share, width=_BAR_CELLS, color="cyan")
        end = place if cell_len(place) <= widest else "…" + chop_cells(place[::-1], widest - 1)[0][::-1]
        excerpt = _excerpt(result, n_cells, 2 * console.width, marks)
        table.add_row(str(rank), f"{result.relevance_score:.3f}", bar, Text(end), excerpt)
    console.print(table)


def _excerpt(result: V2RerankResponseResultsItem, n_cells: int, max_chars: int, marks: tuple[str, str]) -> Text:
    """Return the text with marked spans, from its start or, if the best span is not visible then, from near that span.

    Args:
        result: A result of a response. Its best span comes first.
        n_cells: The number of visible cells.
        max_chars: The maximum length of the excerpt. It is more than fits, and rich cuts it to the cell.
        marks: The marks before and after each span.
    """
    sent: str = getattr(result, "_sent_text", "")
    spans = [span for span in result.relevant_spans or [] if span.start < len(sent)]
    is_visible = not spans or (spans[0].end <= n_cells and cell_len(sent[: spans[0].end]) <= n_cells)
    start = at = 0 if is_visible else _excerpt_start(sent, spans[0].start)
    end = min(start + max_chars, len(sent))
    text = Text("…" if start else "")
    for span in sorted(spans, key=lambda span: span.start):
        first, last = max(span.start, at), min(span.end, end)  # spans may overlap or be out of range
        if first < last:
            text.append(_printable(sent[at:first]))
            text.append(marks[0] + _printable(sent[first:last]) + marks[1], "bold green")
            at = last
    return text.append(_printable(sent[at:end]))


def _excerpt_start(text: str, place: int) -> int:
    """Return the start of the first word shortly before *place*, or *place* itself."""
    if place <= _CONTEXT_CHARS:
        return 0
    near = place - _CONTEXT_CHARS
    gap = _WHITESPACE.search(text, near - 1, place)
    return gap.end() if gap else place


def _printable(text: str) -> str:
    """Return the text on one line and without control characters."""
    return "".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in text)
