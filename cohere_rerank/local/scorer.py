"""The interface of a scorer, and checks of the scores that it returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Protocol

from cohere_rerank.errors import ScorerError

ScoreFunction = Callable[[str, Sequence[str]], Iterable[float]]


class Scorer(Protocol):
    """Scores documents against a query. A class of your own needs no base class.

    Attributes:
        name: The name in ``meta.warnings`` of the response, such as ``"local-lexical"``.
        version: A text that changes whenever the same input may get different scores.
        pointwise: True if the score of a document does not depend on the other documents. Then a list may be split,
            cached by document and merged again.
    """

    @property
    def name(self) -> str:
        """The name in ``meta.warnings`` of the response."""
        ...

    @property
    def version(self) -> str:
        """A text that changes whenever the same input may get different scores."""
        ...

    @property
    def pointwise(self) -> bool:
        """True if the score of a document depends on the document and the query alone."""
        ...

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one score in [0, 1] per document, in the order of *documents*."""
        ...


class FunctionScorer:
    """Makes a `Scorer` of a plain function ``f(query, documents) -> scores``.

    Args:
        function: Returns one number in [0, 1] per document, in their order.
        name: The name of the scorer. Default: the name of the function.
        version: Any text. Change it when the scores of the function change. Default: "0".
        pointwise: True only if each score depends on the query and its own document alone. Default: False.
    """

    def __init__(
        self,
        function: ScoreFunction,
        *,
        name: str | None = None,
        version: str = "0",
        pointwise: bool = False,
    ) -> None:
        self._function = function
        self.name = name or getattr(function, "__name__", None) or type(function).__name__
        self.version = version
        self.pointwise = pointwise

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return the scores of the function, after a check.

        Raises:
            ScorerError: The function did not return one finite number in [0, 1] per document.
        """
        scores = self._function(query, documents)
        return check_scores(self, scores, len(documents))


def check_scores(scorer: Scorer, scores: object, n: int) -> list[float]:
    """Return *scores* as a list of *n* floats.

    Numpy arrays and their numbers are accepted. Booleans, texts, NaN and infinities are not.

    Raises:
        ScorerError: The scores are not iterable, there are not *n* of them, or one is not a number in [0, 1].
    """
    if isinstance(scores, (str, bytes)) or not isinstance(scores, Iterable):
        kind = type(scores).__name__
        raise ScorerError(f"the scorer {scorer.name!r} returned {kind}; return a list of {n} numbers in [0, 1]")
    values = list(scores)
    if len(values) != n:
        raise ScorerError(
            f"the scorer {scorer.name!r} returned {len(values)} scores for {n} documents; "
            "return exactly one per document, in their order"
        )
    return [_check_score(scorer.name, index, value) for index, value in enumerate(values)]


def _check_score(name: str, index: int, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ScorerError(
            f"the scorer {name!r} returned {type(value).__name__} for document {index}; "
            "a score must be a number in [0, 1]"
        )
    score = float(value)
    if math.isnan(score) or not 0.0 <= score <= 1.0:
        raise ScorerError(
            f"the scorer {name!r} returned {score} for document {index}; a score must be in [0, 1] "
            "(apply a sigmoid to the raw score of a model)"
        )
    return score
