"""Find a ``min_score`` from judged documents, or from borderline pairs.

Scores are comparable within one model only. Find a new threshold for each model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt
from os import PathLike
from typing import TYPE_CHECKING

from cohere_rerank.errors import InvalidRequestError

from .lists import LabelledList, collect
from .qrels import load_qrels
from .systems import NOT_RETURNED, as_function, with_error_context

if TYPE_CHECKING:
    from cohere_rerank.files import ReadOptions

    from .qrels import Qrels
    from .systems import System

__all__ = ["OperatingPoint", "Threshold", "borderline_threshold", "recommend_threshold"]

_N_ROWS = 20  # of the table of operating points
_USEFUL_PRECISION = 0.5  # with less, most of the kept documents are not relevant


@dataclass(frozen=True)
class OperatingPoint:
    """The effect of one threshold: it keeps the documents with at least this score.

    Attributes:
        min_score: The threshold.
        precision: The share of the kept documents that are relevant.
        recall: The share of the relevant documents that are kept.
        f1: The harmonic mean of precision and recall.
        n_kept: The number of documents that are kept.
    """

    min_score: float
    precision: float
    recall: float
    f1: float
    n_kept: int


@dataclass(frozen=True)
class Threshold:
    """A recommended threshold, and the effect of every other one.

    Attributes:
        min_score: The recommended value of ``rerank(min_score=...)``. It has as few digits as possible, and lies
            between the lowest score that it keeps and the next one.
        operating_points: One for each score that occurs, lowest first. Empty for a threshold from borderline pairs.
        n_documents: The number of judged documents, or of borderline pairs.
        standard_error: The standard error of the mean, for a threshold from borderline pairs; otherwise None.
        n_relevant: The number of relevant documents, for a threshold from judged lists.
    """

    min_score: float
    operating_points: Sequence[OperatingPoint] = field(repr=False)
    n_documents: int
    standard_error: float | None = None
    n_relevant: int = 0

    @property
    def warning(self) -> str | None:
        """What is wrong with every value: no precision is useful. None if one is, or for borderline pairs."""
        best = max((point.precision for point in self.operating_points), default=1.0)
        if best >= _USEFUL_PRECISION:
            return None
        return (
            f"no value has a precision of {_USEFUL_PRECISION}: the best one has {best:.3f}; do not use min_score here"
        )

    def at(self, min_score: float) -> OperatingPoint:
        """Return the effect of a threshold. It is that of the lowest occurring score at or above it.

        Raises:
            InvalidRequestError: No document has such a high score, or the threshold comes from borderline pairs.
        """
        if not self.operating_points:
            raise InvalidRequestError("borderline pairs have no precision and recall; judge whole lists instead")
        for point in self.operating_points:
            if point.min_score >= min_score:
                return point
        highest = self.operating_points[-1].min_score
        raise InvalidRequestError(f"no document has a score of {min_score} or more; the highest score is {highest}")

    def __str__(self) -> str:
        """Return the recommendation, what it keeps, and a table of some twenty operating points."""
        if self.standard_error is not None:
            error = f"standard error {self.standard_error:.2g}"
            return f"recommended min_score {self.min_score}, the mean of {self.n_documents} borderline pairs ({error})"
        best = self.at(self.min_score)
        low, high = wilson(best.precision * best.n_kept, best.n_kept)
        lowest, highest = wilson(best.recall * self.n_relevant, self.n_relevant)
        lines = [f"recommended min_score {self.min_score}, from {self.n_documents:,} judged documents"]
        lines.append(
            f"it keeps {best.n_kept:,}: precision {best.precision:.3f} [{low:.3f}, {high:.3f}], "
            f"recall {best.recall:.3f} [{lowest:.3f}, {highest:.3f}] (95 %)"
        )
        if self.warning is not None:
            lines.append(f"warning: {self.warning}")
        lines.append("min_score  precision  recall     F1   kept")
        step = -(-len(self.operating_points) // _N_ROWS)
        for i, point in enumerate(self.operating_points):
            is_best = point is best
            if is_best or i % step == 0:
                figures = f"{point.min_score:9.4f}  {point.precision:9.3f}  {point.recall:6.3f}  {point.f1:5.3f}"
                lines.append(f"{figures}  {point.n_kept:5,d}{'  <-' if is_best else ''}")
        return "\n".join(lines)


def recommend_threshold(
    lists: Iterable[LabelledList] | str | PathLike[str],
    system: System,
    *,
    min_precision: float | None = None,
    min_recall: float | None = None,
    read: ReadOptions | None = None,
    qrels: Qrels | str | PathLike[str] | None = None,
) -> Threshold:
    """Find the threshold with the best F1, or the best one with a minimum precision or recall.

    Args:
        lists: Labelled lists, or the path of a JSON Lines file. Include lists without a relevant document if some of
            your queries have none. Otherwise the threshold is too low for them.
        system: A ``local:`` address, a scorer, a function of (query, documents), or a pair (client, model).
        min_precision: In [0, 1]. Return the threshold with the highest recall among those with this precision or more.
        min_recall: In [0, 1]. Return the threshold with the highest precision among those with this recall or more.
        read: How the file is read. Default: its format and shape are detected.
        qrels: Judgements for the file, as for `load_lists`.

    Raises:
        InvalidRequestError: No document is relevant, both minimums are given, or no threshold reaches the minimum.
        CohereRerankError: The system failed. The ``part`` of the error says on which list.
    """
    if min_precision is not None and min_recall is not None:
        raise InvalidRequestError("min_precision and min_recall are mutually exclusive; pass one of them")
    _check_share("min_precision", min_precision)
    _check_share("min_recall", min_recall)
    score = as_function(system)
    judged: list[tuple[float, bool]] = []
    judgements = load_qrels(qrels) if isinstance(qrels, (str, PathLike)) else qrels
    for index, item in enumerate(collect(lists, read, judgements)):
        with with_error_context(f"lists[{index}]"):
            scores = score(item.query, item.documents)
        judged += ((value, grade > 0) for value, grade in zip(scores, item.grades, strict=True))
    points = _operating_points(judged)
    best = _best(points, min_precision, min_recall)
    return Threshold(_typeable(points, best), points, len(judged), n_relevant=sum(relevant for _, relevant in judged))


def _typeable(points: Sequence[OperatingPoint], best: OperatingPoint) -> float:
    """Return the number with the fewest digits that keeps the same documents, near the middle to the next lower score.

    Args:
        points: All operating points, lowest first.
        best: The one to keep.
    """
    index = points.index(best)
    high = best.min_score
    low = points[index - 1].min_score if index else high - max(abs(high), 1e-6) / 10
    middle = low + (high - low) / 2
    for n_digits in range(18):
        value = round(middle, n_digits) + 0.0  # not -0.0
        if low < value <= high:
            return value
    return high


def wilson(n_hits: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n, as Wilson has it."""
    if not n:
        return 0.0, 1.0
    share, z = n_hits / n, 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def borderline_threshold(pairs: Iterable[tuple[str, object]], system: System) -> Threshold:
    """Return the mean score of borderline pairs. The document of such a pair is only just relevant to the query.

    Some 30 to 50 pairs make a usable mean. ``standard_error`` shows how certain it is.

    Args:
        pairs: Pairs of a query and a document. Each pair is scored as a list of one document, so use a system that
            scores documents one by one, as a model of the API does.
        system: As for `recommend_threshold`.

    Raises:
        InvalidRequestError: There are fewer than two pairs, or one is not a pair.
        CohereRerankError: The system failed. The ``part`` of the error says on which pair.
    """
    listed = [_check_pair(index, pair) for index, pair in enumerate(pairs)]
    if len(listed) < 2:
        raise InvalidRequestError(f"a mean needs at least two borderline pairs, got {len(listed)}; use 30 to 50")
    score = as_function(system)
    values = []
    for index, (query, document) in enumerate(listed):
        with with_error_context(f"pairs[{index}]"):
            values += score(query, [document])
    if NOT_RETURNED in values:
        raise InvalidRequestError(f"the system returned no score for the pair at index {values.index(NOT_RETURNED)}")
    mean = fsum(values) / len(values)
    variance = fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Threshold(mean, (), len(values), sqrt(variance / len(values)))


def _check_pair(index: int, pair: object) -> tuple[str, object]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise InvalidRequestError(f"pairs[{index}] must be a query and a document, got {type(pair).__name__}")
    return pair[0], pair[1]


def _check_share(name: str, share: float | None) -> None:
    if share is not None and not 0 <= share <= 1:
        raise InvalidRequestError(f"{name} must be from 0 to 1, got {share}")


def _operating_points(judged: Sequence[tuple[float, bool]]) -> list[OperatingPoint]:
    n_relevant = sum(relevant for _, relevant in judged)
    points: list[OperatingPoint] = []
    n_kept = n_found = 0
    ordered = sorted((pair for pair in judged if pair[0] != NOT_RETURNED), key=lambda pair: -pair[0])
    for position, (value, relevant) in enumerate(ordered):
        n_kept += 1
        n_found += relevant
        if position + 1 < len(ordered) and ordered[position + 1][0] == value:
            continue  # documents with equal scores are kept or dropped together
        f1 = 2 * n_found / (n_kept + n_relevant)
        points.append(OperatingPoint(value, n_found / n_kept, n_found / n_relevant, f1, n_kept))
    if not points:
        raise InvalidRequestError("the system returned no score for any document")
    return points[::-1]


def _best(points: Sequence[OperatingPoint], min_precision: float | None, min_recall: float | None) -> OperatingPoint:
    # Of equally good thresholds, take the highest: it keeps the fewest irrelevant documents.
    if min_precision is not None:
        allowed = [point for point in points if point.precision >= min_precision]
        if allowed:
            return max(allowed, key=lambda point: (point.recall, point.precision, point.min_score))
        raise InvalidRequestError(f"no threshold reaches a precision of {min_precision}")
    if min_recall is not None:
        allowed = [point for point in points if point.recall >= min_recall]
        if allowed:
            return max(allowed, key=lambda point: (point.precision, point.recall, point.min_score))
        raise InvalidRequestError(f"no threshold reaches a recall of {min_recall}")
    return max(points, key=lambda point: (point.f1, point.min_score))
