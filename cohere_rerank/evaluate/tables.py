"""Tables of a report as text, CSV, Markdown and LaTeX. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_csv", "as_latex", "as_markdown", "as_text"]

_WIDTH = 80
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
Cells = Sequence[Sequence[str]]


def as_text(cells: Cells) -> str:
    """Return a table of at most 80 columns. Columns that do not fit follow below, with the first one repeated."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        used = widths[0] + sum(widths[each] + 2 for each in blocks[-1])
        if blocks[-1] and used + 2 + widths[column] > _WIDTH:
            blocks.append([])
        blocks[-1].append(column)
    return "\n\n".join(_block(cells, widths, [0, *columns]) for columns in blocks)


def _block(cells: Cells, widths: Sequence[int], columns: Sequence[int]) -> str:
    return "\n".join("  ".join(row[each].ljust(widths[each]) for each in columns).rstrip() for row in cells)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a line of names. Numbers have all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(cells: Cells) -> str:
    """Return a table of Markdown."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]]) + "\n"


def as_latex(cells: Cells) -> str:
    """Return a tabular of LaTeX."""
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in cells]
    start = [r"\begin{tabular}{l" + "r" * (len(cells[0]) - 1) + "}", r"\hline"]
    return "\n".join([*start, lines[0], r"\hline", *lines[1:], r"\hline", r"\end{tabular}"]) + "\n"


def _latex(text: str) -> str:
    return re.sub(r"[\\~^]|[&%$#_{}]", lambda found: _LATEX.get(found[0], "\\" + found[0]), text)
