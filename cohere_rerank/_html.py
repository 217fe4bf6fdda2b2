"""A response as an HTML table, for notebooks."""

from __future__ import annotations

import re
from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_N_ROWS = 20
_N_CHARACTERS = 120  # of each text
_N_SEARCHED = 10_000  # characters of a text from which the ones to show are taken
_N_BEFORE_SPAN = 30
_COLUMNS = ("rank", "score", "index", "text")
# Colours that stand out on light and dark alike; the text keeps the colour of the notebook.
_ROW = (
    "<tr><td>{rank}</td>"
    '<td style="text-align:left;white-space:nowrap">'
    '<span style="display:inline-block;width:6em;margin-right:.5em;background:#80808040">'
    '<span style="display:block;width:{percent:.1f}%;height:.7em;background:#4a90d9"></span></span>'
    "{score}</td>"
    '<td>{index}</td><td dir="auto" style="text-align:left">{text}</td></tr>'
)
_CAPTION = '<caption style="text-align:left">{}</caption>'


def table(response: Any) -> str:
    """Return the first results as a table: rank, score with a bar, index, and text with its relevant spans."""
    engine = f", answered by {response.answered_by}" if response.answered_by else ""
    caption = _CAPTION.format(escape(f"{len(response.results) or 'no'} results{engine}"))
    if not response.results:
        return f"<table>{caption}</table>"
    rows = [_row(rank, item) for rank, item in enumerate(response.results[:_N_ROWS], start=1)]
    n_more = len(response.results) - len(rows)
    more = f"<div>… {n_more} more</div>" if n_more else ""
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in _COLUMNS)
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"


def _row(rank: int, item: Any) -> str:
    spans = [(span.start, span.end) for span in item.relevant_spans or ()]
    return _ROW.format(
        rank=rank,
        percent=100 * min(max(item.relevance_score or 0, 0), 1),
        score="no score" if item.relevance_score is None else f"{item.relevance_score:.3f}",
        index=item.index,
        text="".join(_excerpt(getattr(item, "_sent_text", ""), sorted(spans))),
    )


def _excerpt(text: str, spans: list[tuple[int, int]]) -> Iterator[str]:
    """Yield a part of the text as HTML with marked spans: its start, or the first span if that comes later."""
    start = 0
    if spans and spans[0][1] > _N_CHARACTERS:
        start = max(0, spans[0][0] - _N_BEFORE_SPAN)
        yield "…" if start else ""
    n_left, is_after_space = _N_CHARACTERS, True
    for piece, is_span in _pieces(text[: start + _N_SEARCHED], start, spans):
        plain = re.sub(r"\s+", " ", piece)
        shown = (plain.lstrip() if is_after_space else plain)[: n_left + 1]
        is_after_space = shown.endswith(" ") if shown else is_after_space
        is_cut = len(shown) > n_left and bool(shown[n_left:].strip())
        shown = escape(shown[:n_left].rstrip() if is_cut else shown[:n_left]) + "…" * is_cut
        yield f"<mark>{shown}</mark>" if is_span and shown else shown
        n_left -= len(plain)
        if is_cut or n_left < 0:
            return


def _pieces(text: str, start: int, spans: list[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Yield the text from *start* in pieces, each either in a span or not."""
    for span_start, span_end in spans:
        if span_end > start:
            yield text[start:span_start], False
            yield text[max(start, span_start) : span_end], True
            start = span_end
    yield text[start:], False
