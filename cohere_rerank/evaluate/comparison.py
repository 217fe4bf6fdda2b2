"""Several rerankers on the same lists, side by side: means, their uncertainty, and whether a difference is real."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import fsum
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from cohere_rerank.errors import InvalidRequestError

from . import metrics
from .lists import LabelledList, gather
from .progress import steps
from .resampling import CONFIDENCE, N_RESAMPLES, Interval, bootstrap, p_value
from .systems import as_function, located

if TYPE_CHECKING:
    from .systems import Scores, System

__all__ = ["METRICS", "Comparison", "Report", "evaluate"]

_T = TypeVar("_T")

METRICS = ("ndcg@10", "mrr@10", "recall@10", "map")


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same lists.

    Attributes:
        difference: Mean of the second less mean of the first, with its interval.
        p_value: Two-sided, of a paired randomisation test: how often chance alone, swapping the two systems list by
            list, makes a difference at least as large.
    """

    first: str
    second: str
    metric: str
    difference: Interval
    p_value: float


@dataclass(frozen=True)
class Report:
    """What `evaluate` found.

    Attributes:
        n_lists: Lists with a relevant document: the ones that count.
        n_without_answer: Lists without one, left out of every metric.
        values: System, then metric, then one value in [0, 1] for each list that counts, in the lists' order.
    """

    n_lists: int
    n_without_answer: int
    values: Mapping[str, Mapping[str, Sequence[float]]] = field(repr=False)

    def mean(self, system: str, metric: str) -> float:
        """The mean over the lists.

        Raises:
            InvalidRequestError: The system or the metric was not evaluated; so too in `interval` and `compare`.
        """
        values = self._of(system, metric)
        return fsum(values) / len(values)

    def interval(self, system: str, metric: str, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Interval:
        """The mean with its 95 % interval, by resampling the lists."""
        return bootstrap(self._of(system, metric), n_resamples, seed)

    def compare(
        self, first: str, second: str, metric: str, *, n_resamples: int = N_RESAMPLES, seed: int = 0
    ) -> Comparison:
        """Whether the second system is really better or worse than the first."""
        differences = self._differences(first, second, metric)
        interval = bootstrap(differences, n_resamples, seed)
        return Comparison(first, second, metric, interval, p_value(differences, n_resamples, seed))

    def _differences(self, first: str, second: str, metric: str) -> list[float]:
        pairs = zip(self._of(first, metric), self._of(second, metric), strict=True)
        return [of_second - of_first for of_first, of_second in pairs]

    def _of(self, system: str, metric: str) -> Sequence[float]:
        of_system = _known("system", system, self.values)
        return _known("metric", metric, of_system)

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain data: means with intervals, and every system against the first."""
        systems, names = list(self.values), list(next(iter(self.values.values())))
        return {
            "n_lists": self.n_lists,
            "n_without_answer": self.n_without_answer,
            "systems": {system: {name: asdict(self.interval(system, name)) for name in names} for system in systems},
            "comparisons": [asdict(self.compare(systems[0], other, name)) for other in systems[1:] for name in names],
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    def plot(self, path: str | PathLike[str]) -> None:
        """Draw the means with their intervals as a PNG.

        Raises:
            ImportError: The extra ``plot`` is not installed.
        """
        from .plot import plot_report

        plot_report(self, path)

    def __str__(self) -> str:
        """A table: a line for each system; a star marks a difference from the first with p < 0.05."""
        systems, names = list(self.values), list(next(iter(self.values.values())))
        rows = [["system", *names]]
        for system in systems:
            row = [system]
            for name in names:
                interval = self.interval(system, name)
                is_other = p_value(self._differences(systems[0], system, name)) < 1 - CONFIDENCE
                row.append(f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]{'*' if is_other else ''}")
            rows.append(row)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        left_out = f", {self.n_without_answer} without an answer left out" if self.n_without_answer else ""
        return "\n".join(
            [*lines, f"({self.n_lists} lists{left_out}; 95 % intervals; * differs from {systems[0]}, p < 0.05)"]
        )


def evaluate(
    lists: Iterable[LabelledList] | str | PathLike[str],
    systems: Mapping[str, System],
    *,
    names: Sequence[str] = METRICS,
    progress: bool | Callable[[int, int], object] = False,
) -> Report:
    """Rank every list with every system and measure the rankings.

    Args:
        lists: Labelled lists, or the JSON Lines file that holds them.
        systems: Name to system: a ``local:`` address, a scorer, a function of (query, documents), or (client, model).
        names: Metrics: ndcg, mrr, recall, map, each alone or with a cut as in ndcg@10.
        progress: True draws a bar on stderr (extra ``progress``); a function is called with (done, of), the number of
            rankings.

    Raises:
        InvalidRequestError: No lists, no systems, no metrics, one that is none, or no list with a relevant document.
        CohereRerankError: A system failed; its ``part`` says which, and on which list. Nothing is left out silently.
        ImportError: The extra ``progress`` is not installed.
    """
    functions = _functions(systems)
    names = _checked_names(names)
    loaded = gather(lists)
    answerable = [index for index, item in enumerate(loaded) if any(item.grades)]
    values: dict[str, dict[str, list[float]]] = {system: {name: [] for name in names} for system in functions}
    with steps(progress, len(answerable) * len(functions)) as step:
        for index in answerable:
            for system, score in functions.items():
                ranked = _ranked_grades(score, loaded[index], f"system {system!r}, lists[{index}]")
                for name in names:
                    value = metrics.measure(name, ranked)
                    assert value is not None, name  # lists without a relevant document were left out
                    values[system][name].append(value)
                step()
    return Report(len(answerable), len(loaded) - len(answerable), values)


def _ranked_grades(score: Scores, item: LabelledList, place: str) -> list[float]:
    with located(place):
        scores = score(item.query, item.documents)
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return [item.grades[index] for index in order]


def _functions(systems: Mapping[str, System]) -> dict[str, Scores]:
    given: object = systems
    if not isinstance(given, Mapping) or not given or not all(isinstance(name, str) for name in given):
        raise InvalidRequestError('systems must map at least one name to a system, such as {"lexical": "local:"}')
    functions = {}
    for name, system in systems.items():
        try:
            functions[name] = as_function(system)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"system {name!r}: {error}") from None
    return functions


def _checked_names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not names:
        raise InvalidRequestError('names must be a list of at least one metric, such as ["ndcg@10"]')
    for name in names:
        metrics.parse(name)
    return list(dict.fromkeys(names))  # a metric named twice is measured once


def _known(kind: str, name: str, values: Mapping[str, _T]) -> _T:
    if name not in values:
        raise InvalidRequestError(f"{kind} {name!r} was not evaluated; these were: {', '.join(values)}")
    return values[name]
