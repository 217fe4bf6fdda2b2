"""Where to cut: from judged documents, or from borderline pairs, to a ``min_score``.

A score is comparable within one model only; find the cut anew for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt
from os import PathLike
from typing import TYPE_CHECKING

from cohere_rerank.errors import InvalidRequestError

from .lists import LabelledList, gather
from .systems import NOT_RETURNED, as_function, located

if TYPE_CHECKING:
    from .systems import System

__all__ = ["Cut", "Threshold", "borderline_threshold", "recommend_threshold"]

_N_CUTS_SHOWN = 20


@dataclass(frozen=True)
class Cut:
    """What keeping the documents at or above a score does.

    Attributes:
        min_score: The lowest score that is kept.
        precision: Share of the kept documents that are relevant.
        recall: Share of the relevant documents that are kept.
        f1: Their harmonic mean.
        n_kept: How many documents are kept.
    """

    min_score: float
    precision: float
    recall: float
    f1: float
    n_kept: int


@dataclass(frozen=True)
class Threshold:
    """A recommended cut, and every other one.

    Attributes:
        min_score: What to give to ``rerank(min_score=...)``.
        cuts: One for each score that occurs, lowest first; empty for a threshold from borderline pairs.
        n_documents: How many judged documents (or pairs) it rests on.
        standard_error: Of the mean, for a threshold from borderline pairs; else None.
    """

    min_score: float
    cuts: Sequence[Cut] = field(repr=False)
    n_documents: int
    standard_error: float | None = None

    def at(self, min_score: float) -> Cut:
        """The cut that this score makes: the one of the lowest score at or above it.

        Raises:
            InvalidRequestError: Nothing scores as high, or the threshold comes from borderline pairs.
        """
        if not self.cuts:
            raise InvalidRequestError(
                "borderline pairs say nothing of precision and recall; judge whole lists for that"
            )
        for cut in self.cuts:
            if cut.min_score >= min_score:
                return cut
        raise InvalidRequestError(f"no document scores {min_score} or more; the highest is {self.cuts[-1].min_score}")

    def __str__(self) -> str:
        """The recommendation with all its digits, then a table of some twenty cuts."""
        if self.standard_error is not None:
            error = f"standard error {self.standard_error:.2g}"
            return f"recommended min_score {self.min_score}, the mean of {self.n_documents} borderline pairs ({error})"
        lines = [f"recommended min_score {self.min_score}, from {self.n_documents} judged documents"]
        lines.append("min_score  precision  recall     F1   kept")
        step = -(-len(self.cuts) // _N_CUTS_SHOWN)
        for i, cut in enumerate(self.cuts):
            is_best = cut.min_score == self.min_score
            if is_best or i % step == 0:
                figures = f"{cut.min_score:9.4f}  {cut.precision:9.3f}  {cut.recall:6.3f}  {cut.f1:5.3f}"
                lines.append(f"{figures}  {cut.n_kept:5d}{'  <-' if is_best else ''}")
        return "\n".join(lines)


def recommend_threshold(
    lists: Iterable[LabelledList] | str | PathLike[str],
    system: System,
    *,
    min_precision: float | None = None,
    min_recall: float | None = None,
) -> Threshold:
    """Find the cut with the best F1, or the best one that keeps a promise.

    Args:
        lists: Labelled lists, or the JSON Lines file that holds them; include lists without an answer if your queries
            have such, or the cut will be too low for them.
        system: A ``local:`` address, a scorer, a function of (query, documents), or (client, model).
        min_precision: Of the cuts at least this precise, the one with the highest recall.
        min_recall: Of the cuts with at least this recall, the one with the highest precision.

    Raises:
        InvalidRequestError: Nothing is judged relevant, both promises are asked for, or no cut keeps the one that is.
        CohereRerankError: The system failed; ``part`` says on which list.
    """
    if min_precision is not None and min_recall is not None:
        raise InvalidRequestError("give min_precision or min_recall, not both: one cut cannot keep two promises")
    _check_share("min_precision", min_precision)
    _check_share("min_recall", min_recall)
    score = as_function(system)
    judged: list[tuple[float, bool]] = []
    for index, item in enumerate(gather(lists)):
        with located(f"lists[{index}]"):
            scores = score(item.query, item.documents)
        judged += ((value, grade > 0) for value, grade in zip(scores, item.grades, strict=True))
    cuts = _cuts(judged)
    best = _best(cuts, min_precision, min_recall)
    return Threshold(best.min_score, cuts, len(judged))


def borderline_threshold(pairs: Iterable[tuple[str, object]], system: System) -> Threshold:
    """The mean score of borderline pairs: documents that are just about relevant to their query.

    Some 30 to 50 pairs give a usable mean; ``standard_error`` says how sure it is.

    Args:
        pairs: Query and document, each pair scored by itself. Give a system that scores documents one by one (an API's
            model does); a list-wise scorer sees lists of one here.
        system: As for `recommend_threshold`.

    Raises:
        InvalidRequestError: There are fewer than two pairs, or one is none.
        CohereRerankError: The system failed; ``part`` says on which pair.
    """
    listed = [_checked_pair(index, pair) for index, pair in enumerate(pairs)]
    if len(listed) < 2:
        raise InvalidRequestError(f"a mean needs at least two borderline pairs, got {len(listed)}; 30 to 50 are usual")
    score = as_function(system)
    values = []
    for index, (query, document) in enumerate(listed):
        with located(f"pairs[{index}]"):
            values += score(query, [document])
    if NOT_RETURNED in values:
        raise InvalidRequestError(f"the system gave no score for the pair at index {values.index(NOT_RETURNED)}")
    mean = fsum(values) / len(values)
    variance = fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Threshold(mean, (), len(values), sqrt(variance / len(values)))


def _checked_pair(index: int, pair: object) -> tuple[str, object]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise InvalidRequestError(f"pairs[{index}] must be a query and a document, got {type(pair).__name__}")
    return pair[0], pair[1]


def _check_share(name: str, share: float | None) -> None:
    if share is not None and not 0 <= share <= 1:
        raise InvalidRequestError(f"{name} must be from 0 to 1, got {share}")


def _cuts(judged: Sequence[tuple[float, bool]]) -> list[Cut]:
    n_relevant = sum(relevant for _, relevant in judged)
    cuts: list[Cut] = []
    n_kept = n_found = 0
    ordered = sorted((pair for pair in judged if pair[0] != NOT_RETURNED), key=lambda pair: -pair[0])
    for position, (value, relevant) in enumerate(ordered):
        n_kept += 1
        n_found += relevant
        if position + 1 < len(ordered) and ordered[position + 1][0] == value:
            continue  # equal scores are kept or cut together
        f1 = 2 * n_found / (n_kept + n_relevant)
        cuts.append(Cut(value, n_found / n_kept, n_found / n_relevant, f1, n_kept))
    if not cuts:
        raise InvalidRequestError("the system gave no score for any of the documents")
    return cuts[::-1]


def _best(cuts: Sequence[Cut], min_precision: float | None, min_recall: float | None) -> Cut:
    # Of equally good cuts the highest: it keeps the least that is not needed.
    if min_precision is not None:
        kept = [cut for cut in cuts if cut.precision >= min_precision]
        promise, best = f"a precision of {min_precision}", lambda cut: (cut.recall, cut.precision, cut.min_score)
    elif min_recall is not None:
        kept = [cut for cut in cuts if cut.recall >= min_recall]
        promise, best = f"a recall of {min_recall}", lambda cut: (cut.precision, cut.recall, cut.min_score)
    else:
        return max(cuts, key=lambda cut: (cut.f1, cut.min_score))
    if not kept:
        raise InvalidRequestError(f"no cut reaches {promise}")
    return max(kept, key=best)
