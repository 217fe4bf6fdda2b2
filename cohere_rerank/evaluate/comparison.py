"""Several rerankers on the same lists, side by side: means, their uncertainty, and whether a difference is real."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum
from os import PathLike
from typing import TYPE_CHECKING, Any

from cohere_rerank.errors import InvalidRequestError

from . import metrics
from .lists import LabelledList, load_lists
from .systems import as_function

if TYPE_CHECKING:
    from .systems import System

METRICS = ("ndcg@10", "mrr@10", "recall@10", "map")
N_RESAMPLES = 1000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over lists and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


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
    values: Mapping[str, Mapping[str, Sequence[float]]]

    def mean(self, system: str, metric: str) -> float:
        """The mean over the lists."""
        return _mean(self.values[system][metric])

    def interval(self, system: str, metric: str, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Interval:
        """The mean with its 95 % interval, by resampling the lists."""
        return _bootstrap(self.values[system][metric], n_resamples, random.Random(seed))

    def compare(
        self, first: str, second: str, metric: str, *, n_resamples: int = N_RESAMPLES, seed: int = 0
    ) -> Comparison:
        """Whether the second system is really better or worse than the first."""
        pairs = zip(self.values[first][metric], self.values[second][metric], strict=True)
        differences = [b - a for a, b in pairs]
        draw = random.Random(seed)
        interval = _bootstrap(differences, n_resamples, draw)
        return Comparison(first, second, metric, interval, _p_value(differences, n_resamples, draw))

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain data: means with intervals, and every system against the first."""
        systems = list(self.values)
        names = list(next(iter(self.values.values())))
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
                is_other = system != systems[0] and self.compare(systems[0], system, name).p_value < 1 - _CONFIDENCE
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
        progress: True draws a bar on stderr (extra ``progress``); a function is called with (done, of).

    Raises:
        InvalidRequestError: No lists, no systems, or no list with a relevant document.
        CohereRerankError: A system failed; nothing is left out silently.
    """
    loaded = load_lists(lists) if isinstance(lists, (str, PathLike)) else list(lists)
    for name in names:
        metrics.parse(name)
    if not systems or not names:
        raise InvalidRequestError("there is nothing to evaluate: give at least one system and one metric")
    answerable = [item for item in loaded if any(item.grades)]
    if not answerable:
        raise InvalidRequestError(f"none of the {len(loaded)} lists has a relevant document")
    functions = {system: as_function(what) for system, what in systems.items()}
    report, close = _progress(progress, len(answerable) * len(functions))
    values: dict[str, dict[str, list[float]]] = {system: {name: [] for name in names} for system in functions}
    n_done = 0
    try:
        for item in answerable:
            for system, score in functions.items():
                ranked = _ranked_grades(item, score(item.query, item.documents))
                for name in names:
                    value = metrics.measure(name, ranked)
                    assert value is not None, name  # lists without a relevant document were left out
                    values[system][name].append(value)
                n_done += 1
                report(n_done, len(answerable) * len(functions))
    finally:
        close()
    return Report(len(answerable), len(loaded) - len(answerable), values)


def _ranked_grades(item: LabelledList, scores: Sequence[float]) -> list[float]:
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return [item.grades[index] for index in order]


def _progress(progress: bool | Callable[[int, int], object], total: int) -> tuple[Callable[[int, int], object], Any]:
    if callable(progress):
        return progress, lambda: None
    if not progress:
        return lambda _done, _of: None, lambda: None
    try:
        from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise ImportError('the progress bar is an extra: pip install "cohere-rerank[progress]"') from None
    bar = tqdm(total=total, unit="list")
    return lambda _done, _of: bar.update(), bar.close


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _bootstrap(values: Sequence[float], n_resamples: int, draw: random.Random) -> Interval:
    means = sorted(sum(draw.choices(values, k=len(values))) / len(values) for _ in range(n_resamples))
    tail = (1 - _CONFIDENCE) / 2
    low, high = means[int(tail * n_resamples)], means[min(n_resamples - 1, int((1 - tail) * n_resamples))]
    return Interval(_mean(values), low, high)


def _p_value(differences: Sequence[float], n_resamples: int, draw: random.Random) -> float:
    # Lists on which both are equal swap without effect.
    unequal = [difference for difference in differences if difference]
    observed = abs(fsum(unequal))
    n_as_large = 0
    for _ in range(n_resamples):
        signs = draw.getrandbits(len(unequal)) if unequal else 0
        total = sum(value if signs >> i & 1 else -value for i, value in enumerate(unequal))
        n_as_large += abs(total) >= observed - 1e-12
    return (n_as_large + 1) / (n_resamples + 1)
