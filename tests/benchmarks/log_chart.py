"""Draw bars on a logarithmic scale as SVG, without a package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

COLORS = {"cohere-rerank": "#2f6f9f", "cohere": "#c96f4a", "limit": "#8a8f98"}
WIDTH, LEFT, RIGHT, TOP = 900, 310, 70, 64  # pixels
FONT = 'font-size="12" font-family="system-ui, sans-serif" fill="#222222"'
BAR, GAP = 13, 12


class Bars(NamedTuple):
    """The bars of one case: a value above 0 for each client."""

    name: str
    values: Mapping[str, float]


def draw(title: str, cases: Sequence[Bars]) -> str:
    """Return the picture. It has a white background, because pages can be dark."""
    every = [value for case in cases for value in case.values.values()]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts, y = [], TOP
    for case in cases:
        middle = y + BAR * len(case.values) / 2 + 4
        parts.append(f'<text x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(case.name)}</text>')
        for who, value in case.values.items():
            length = x(value) - LEFT
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{COLORS[who]}"/>')
            parts.append(f'<text x="{x(value) + 5:.1f}" y="{y + BAR - 3}" class="small">{short(value)}</text>')
            y += BAR
        y += GAP
    grid = [
        f'<line x1="{x(10.0**power):.1f}" x2="{x(10.0**power):.1f}" y1="{TOP - 8}" y2="{y}" stroke="#dddddd"/>'
        f'<text x="{x(10.0**power):.1f}" y="{y + 14}" class="small" text-anchor="middle">{short(10.0**power)}</text>'
        for power in range(low, high + 1)
    ]
    legend = [
        f'<rect x="{LEFT + 150 * n}" y="34" width="11" height="11" fill="{color}"/>'
        f'<text x="{LEFT + 150 * n + 16}" y="44">{escape(who)}</text>'
        for n, (who, color) in enumerate(COLORS.items())
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 26}" role="img" {FONT}>',
            f"<title>{escape(title)}</title><style>.small{{font-size:10px}}</style>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{LEFT}" y="20" font-weight="600">{escape(title)}, logarithmic scale</text>',
            *legend,
            *grid,
            *parts,
            "</svg>\n",
        ]
    )


def short(value: float) -> str:
    """Return a number with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
