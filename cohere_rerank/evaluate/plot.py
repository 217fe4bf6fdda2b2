"""Draw the means of a report as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

from cohere_rerank._extras import importing

from .resampling import Interval

__all__ = ["plot_intervals"]


def plot_intervals(intervals: Mapping[str, Mapping[str, Interval]], n_lists: int, path: str | PathLike[str]) -> None:
    """Draw a group of bars for each metric, with one bar per system and its 95 % interval, into a PNG file.

    Args:
        intervals: For each system and each metric its mean and interval.
        n_lists: The number of lists behind each mean, for the label of the axis.
        path: The file to write.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with importing("plot", "A plot"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    metrics = list(next(iter(intervals.values())))
    figure = Figure(figsize=(max(6.0, 1.5 + 1.6 * len(metrics)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot there is no window and no global state
    axes = figure.add_subplot()
    width = 0.8 / len(intervals)
    for position, (system, of_system) in enumerate(intervals.items()):
        values = list(of_system.values())
        means = [interval.mean for interval in values]
        errors = [
            [max(0.0, interval.mean - interval.low) for interval in values],
            [max(0.0, interval.high - interval.mean) for interval in values],
        ]
        places = [group + (position - (len(intervals) - 1) / 2) * width for group in range(len(metrics))]
        axes.bar(places, means, width, yerr=errors, capsize=3, label=_as_label(system))
    axes.set_xticks(range(len(metrics)), metrics)
    axes.set_ylim(0, 1)
    axes.set_ylabel(f"mean over {n_lists} lists")
    figure.legend(loc="outside upper center", ncols=min(4, len(intervals)), frameon=False)
    figure.savefig(path, format="png", dpi=150)


def _as_label(system: str) -> str:
    # matplotlib reads text between dollar signs as a formula, and leaves out a label that starts with _.
    return f" {system}".replace("$", r"\$")
