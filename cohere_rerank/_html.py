"""A response as a table, for notebooks."""

from __future__ import annotations

from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_N_ROWS = 20
_N_CHARACTERS = 120
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


def table(response: Any) -> str:
    """The first results as an HTML table: rank, score with a bar, index, start of the text that was sent."""
    rows = [_row(rank, item) for rank, item in enumerate(response.results[:_N_ROWS], start=1)]
    n_more = len(response.results) - len(rows)
    more = f"<div>… {n_more} more</div>" if n_more else ""
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in _COLUMNS)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"


def _row(rank: int, item: Any) -> str:
    text = " ".join(getattr(item, "_sent_text", "").split())
    start = text[:_N_CHARACTERS] + "…" * (len(text) > _N_CHARACTERS)
    return _ROW.format(
        rank=rank,
        percent=100 * min(max(item.relevance_score or 0, 0), 1),
        score="no score" if item.relevance_score is None else f"{item.relevance_score:.3g}",
        index=item.index,
        text=escape(start),
    )
