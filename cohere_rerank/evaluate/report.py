"""The result of an evaluation: means, their uncertainty, comparisons, and tables of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from os import PathLike
from typing import Any, NamedTuple, TypeVar

from cohere_rerank.errors import InvalidRequestError

from .plot import plot_intervals
from .resampling import CONFIDENCE, N_RESAMPLES, Interval, bootstrap, p_value
from .tables import as_csv, as_latex, as_markdown, as_text

__all__ = ["Comparison", "QueryDifference", "Report"]

_T = TypeVar("_T")


class QueryDifference(NamedTuple):
    """A query on which two systems differ.

    Attributes:
        name: The id of the list, or its number from 0.
        query: The query.
        first: The value of the first system.
        second: The value of the second system.
    """

    name: str | int
    query: str
    first: float
    second: float


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
        n_without_relevant: The number of lists without a relevant document. They are left out of every metric. Lists
            with judgements of their own (qrels) count as 0 instead, as in trec_eval.
        per_list: For each system and each metric one value in [0, 1] per measured list, in the order of the lists.
        n_tied: For each system, the number of lists in which documents of different grades have the same score. Without
            ids of documents, such a value is the mean over random orders of these documents.
        names: For each measured list its id, or its number from 0.
        queries: The query of each measured list.
    """

    n_lists: int
    n_without_relevant: int
    per_list: Mapping[str, Mapping[str, Sequence[float]]] = field(repr=False)
    n_tied: Mapping[str, int] = field(default_factory=dict, repr=False)
    names: Sequence[str | int] = field(default=(), repr=False)
    queries: Sequence[str] = field(default=(), repr=False)

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

    def differences(self, first: str, second: str, metric: str, n: int = 10) -> list[QueryDifference]:
        """Return the queries on which two systems differ most, the largest differences first.

        Args:
            first: The name of the first system.
            second: The name of the second system.
            metric: The metric.
            n: The largest number of queries, >= 1. Default: 10.
        """
        values = zip(self.names, self.queries, self._values(first, metric), self._values(second, metric))
        found = [QueryDifference(name, query, one, other) for name, query, one, other in values if one != other]
        return sorted(found, key=lambda each: -abs(each.second - each.first))[:n]

    def to_csv(self) -> str:
        """Return one line for each system and metric: mean, interval and the p-value against the first system."""
        return as_csv(self._rows())

    def to_markdown(self) -> str:
        """Return a table of Markdown with one line for each metric."""
        return as_markdown(self._cells())

    def to_latex(self) -> str:
        """Return a table of LaTeX with one line for each metric. It needs no package."""
        return as_latex(self._cells())

    def _rows(self) -> list[dict[str, Any]]:
        systems, metrics = self._names()
        intervals = self._intervals()
        rows = []
        for metric in metrics:
            for system in systems:
                found = intervals[system][metric]
                p = None if system == systems[0] else p_value(self._differences(systems[0], system, metric))
                values = {"metric": metric, "system": system, "mean": found.mean, "low": found.low, "high": found.high}
                rows.append({**values, "p_value": p, "n_lists": self.n_lists})
        return rows

    def _cells(self) -> list[list[str]]:
        """Return a table with a line for each metric and a column for each system. A star marks p < 0.05."""
        systems, metrics = self._names()
        cells = {(row["metric"], row["system"]): row for row in self._rows()}
        table = [["metric", *systems]]
        for metric in metrics:
            line = [metric]
            for system in systems:
                row = cells[metric, system]
                star = "*" if row["p_value"] is not None and row["p_value"] < 1 - CONFIDENCE else ""
                line.append(f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]{star}")
            table.append(line)
        return table

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
        """Return a table of at most 80 columns with one line per metric. A star marks p < 0.05 against the first."""
        systems, _ = self._names()
        left_out = ""
        if self.n_without_relevant:
            left_out = f", {self.n_without_relevant} without a relevant document left out"
        star = f"; * differs from {systems[0]}, p < 0.05" if len(systems) > 1 else ""
        lists = "1 list" if self.n_lists == 1 else f"{self.n_lists:,} lists"
        lines = [as_text(self._cells()), f"({lists}{left_out}; 95 % intervals{star})"]
        for system, n_tied in self.n_tied.items():
            if n_tied:
                lines.append(f"(in {n_tied:,} of {lists}, {system} gives documents of different grades equal scores)")
        return "\n".join(lines)


def _lookup(kind: str, name: str, values: Mapping[str, _T]) -> _T:
    if name not in values:
        raise InvalidRequestError(f"the {kind} {name!r} was not evaluated; use one of {', '.join(values)}")
    return values[name]
