"""A report as a picture."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from cohere_rerank._extras import importing

if TYPE_CHECKING:
    from .comparison import Report

__all__ = ["plot_report"]


def plot_report(report: Report, path: str | PathLike[str]) -> None:
    """Draw each metric as a group of bars, one for each system, with 95 % intervals, into a PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with importing("plot", "A plot"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    systems, names = list(report.values), list(next(iter(report.values.values())))
    figure = Figure(figsize=(max(6.0, 1.5 + 1.6 * len(names)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no global state
    axes = figure.add_subplot()
    width = 0.8 / len(systems)
    for position, system in enumerate(systems):
        intervals = [report.interval(system, name) for name in names]
        means = [interval.mean for interval in intervals]
        errors = [
            [max(0.0, interval.mean - interval.low) for interval in intervals],
            [max(0.0, interval.high - interval.mean) for interval in intervals],
        ]
        at = [group + (position - (len(systems) - 1) / 2) * width for group in range(len(names))]
        axes.bar(at, means, width, yerr=errors, capsize=3, label=_as_label(system))
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1)
    axes.set_ylabel(f"mean over {report.n_lists} lists")
    figure.legend(loc="outside upper center", ncols=min(4, len(systems)), frameon=False)
    figure.savefig(path, format="png", dpi=150)


def _as_label(system: str) -> str:
    # To matplotlib, dollars enclose formulas, and a label that begins with _ is one to leave out.
    return f" {system}".replace("$", r"\$")
