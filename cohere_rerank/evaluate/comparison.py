"""Compare several rerankers on the same lists: means, their uncertainty, and whether a difference is significant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from cohere_rerank.errors import InvalidRequestError

from .lists import LabelledList, collect
from .metrics import measure, parse
from .plot import plot_intervals
from .progress import reporting
from .resampling import CONFIDENCE, N_RESAMPLES, Interval, bootstrap, p_value
from .systems import as_function, with_error_context

if TYPE_CHECKING:
    from .systems import ScoreList, System

__all__ = ["METRICS", "Comparison", "Report", "evaluate"]

_T = TypeVar("_T")

METRICS = ("ndcg@10", "mrr@10", "recall@10", "map")


@dataclass(frozen=True)
class Comparison:
    """The difference of two systems on the same lists.

    Attributes:
        first: The name of the first system.
        second: The name of the second system.
        metric: The metric.
        difference: The mean of the second system minus the mean of the first, with its interval.
        p_value: The two-sided p-value of a paired randomisation test. It is the probability that chance alone, swapping
            the two systems list by list, makes a difference at least as large.
    """

    first: str
    second: str
    metric: str
    difference: Interval
    p_value: float


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`.

    Attributes:
        n_lists: The number of lists with a relevant document. Only these are measured.
        n_without_relevant: The number of lists without a relevant document. They are left out of every metric.
        per_list: For each system and each metric one value in [0, 1] per measured list, in the order of the lists.
    """

    n_lists: int
    n_without_relevant: int
    per_list: Mapping[str, Mapping[str, Sequence[float]]] = field(repr=False)

    def mean(self, system: str, metric: str) -> float:
        """Return the mean over the lists.

        Raises:
            InvalidRequestError: The system or the metric was not evaluated. `interval` and `compare` raise it too.
        """
        values = self._values(system, metric)
        return fsum(values) / len(values)

    def interval(self, system: str, metric: str, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Interval:
        """Return the mean with its 95 % bootstrap interval over the lists."""
        return bootstrap(self._values(system, metric), n_resamples, seed)

    def compare(
        self, first: str, second: str, metric: str, *, n_resamples: int = N_RESAMPLES, seed: int = 0
    ) -> Comparison:
        """Return the difference of two systems, and how likely it is by chance."""
        differences = self._differences(first, second, metric)
        interval = bootstrap(differences, n_resamples, seed)
        return Comparison(first, second, metric, interval, p_value(differences, n_resamples, seed))

    def _differences(self, first: str, second: str, metric: str) -> list[float]:
        pairs = zip(self._values(first, metric), self._values(second, metric), strict=True)
        return [of_second - of_first for of_first, of_second in pairs]

    def _values(self, system: str, metric: str) -> Sequence[float]:
        of_system = _lookup("system", system, self.per_list)
        return _lookup("metric", metric, of_system)

    def _names(self) -> tuple[list[str], list[str]]:
        """Return the names of the systems and of the metrics."""
        return list(self.per_list), list(next(iter(self.per_list.values())))

    def _intervals(self) -> dict[str, dict[str, Interval]]:
        systems, metrics = self._names()
        return {system: {metric: self.interval(system, metric) for metric in metrics} for system in systems}

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain data: means with intervals, and each system compared with the first."""
        systems, metrics = self._names()
        comparisons = [self.compare(systems[0], other, metric) for other in systems[1:] for metric in metrics]
        return {
            "n_lists": self.n_lists,
            "n_without_relevant": self.n_without_relevant,
            "systems": {
                system: {metric: asdict(interval) for metric, interval in intervals.items()}
                for system, intervals in self._intervals().items()
            },
            "comparisons": [asdict(comparison) for comparison in comparisons],
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    def plot(self, path: str | PathLike[str]) -> None:
        """Draw the means with their intervals into a PNG file.

        Raises:
            ImportError: The extra ``plot`` is not installed.
        """
        plot_intervals(self._intervals(), self.n_lists, path)

    def __str__(self) -> str:
        """Return a table with one row per system. A star marks a difference from the first system with p < 0.05."""
        systems, metrics = self._names()
        rows = [["system", *metrics]]
        for system, intervals in self._intervals().items():
            row = [system]
            for metric, interval in intervals.items():
                is_different = p_value(self._differences(systems[0], system, metric)) < 1 - CONFIDENCE
                star = "*" if is_different else ""
                row.append(f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]{star}")
            rows.append(row)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        left_out = ""
        if self.n_without_relevant:
            left_out = f", {self.n_without_relevant} without a relevant document left out"
        return "\n".join(
            [*lines, f"({self.n_lists} lists{left_out}; 95 % intervals; * differs from {systems[0]}, p < 0.05)"]
        )


def evaluate(
    lists: Iterable[LabelledList] | str | PathLike[str],
    systems: Mapping[str, System],
    *,
    metrics: Sequence[str] = METRICS,
    progress: bool | Callable[[int, int], object] = False,
) -> Report:
    """Rank every list with every system and measure the rankings.

    Args:
        lists: Labelled lists, or the path of a JSON Lines file with such lists.
        systems: A name for each system. A system is a ``local:`` address, a scorer, a function of (query, documents),
            or a pair (client, model).
        metrics: The metrics: ndcg, mrr, recall or map, each alone or with a cutoff as in ndcg@10.
        progress: True draws a bar on stderr (extra ``progress``). A function is called with the number of finished
            rankings and their total. Default: False.

    Raises:
        InvalidRequestError: There are no lists, no systems or no metrics; one of them is not valid; or no list has a
            relevant document.
        CohereRerankError: A system failed. The ``part`` of the error says which one, and on which list. No list is
            skipped.
        ImportError: The extra ``progress`` is not installed.
    """
    functions = _as_functions(systems)
    metrics = _check_metrics(metrics)
    loaded = collect(lists)
    measured = [index for index, item in enumerate(loaded) if any(item.grades)]
    per_list: dict[str, dict[str, list[float]]] = {system: {metric: [] for metric in metrics} for system in functions}
    with reporting(progress, len(measured) * len(functions)) as advance:
        for index in measured:
            for system, score in functions.items():
                ranked = _ranked_grades(score, loaded[index], f"system {system!r}, lists[{index}]")
                for metric in metrics:
                    value = measure(metric, ranked)
                    assert value is not None, metric  # the list has a relevant document
                    per_list[system][metric].append(value)
                advance()
    return Report(len(measured), len(loaded) - len(measured), per_list)


def _ranked_grades(score: ScoreList, item: LabelledList, place: str) -> list[float]:
    with with_error_context(place):
        scores = score(item.query, item.documents)
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return [item.grades[index] for index in order]


def _as_functions(systems: Mapping[str, System]) -> dict[str, ScoreList]:
    unchecked: object = systems
    is_valid = isinstance(unchecked, Mapping) and unchecked and all(isinstance(name, str) for name in unchecked)
    if not is_valid:
        raise InvalidRequestError('systems must map at least one name to a system, such as {"lexical": "local:"}')
    functions = {}
    for name, system in systems.items():
        try:
            functions[name] = as_function(system)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"system {name!r}: {error}") from None
    return functions


def _check_metrics(metrics: Sequence[str]) -> list[str]:
    if isinstance(metrics, str) or not metrics:
        raise InvalidRequestError('metrics must be a list of at least one metric, such as ["ndcg@10"]')
    for metric in metrics:
        parse(metric)
    return list(dict.fromkeys(metrics))  # a metric that appears twice is measured once


def _lookup(kind: str, name: str, values: Mapping[str, _T]) -> _T:
    if name not in values:
        raise InvalidRequestError(f"the {kind} {name!r} was not evaluated; use one of {', '.join(values)}")
    return values[name]
