"""What the local engine asks of anything that scores documents against a query."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Protocol

from cohere_rerank.errors import ScorerError

ScoreFunction = Callable[[str, Sequence[str]], Iterable[float]]


class Scorer(Protocol):
    """Scores documents against a query; a user's own class needs no base class.

    Attributes:
        name: Shown in the reply's ``meta.warnings``, such as ``"local-lexical"``.
        version: Changes whenever the same input may score differently.
        pointwise: True if a document's score does not depend on the other documents, so that
            a list may be split, cached by document and merged again.
    """

    @property
    def name(self) -> str:
        """Who scores."""
        ...

    @property
    def version(self) -> str:
        """Which version of it."""
        ...

    @property
    def pointwise(self) -> bool:
        """Whether a document's score depends on itself and the query alone."""
        ...

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one score in [0, 1] per document, in the order of *documents*."""
        ...


class FunctionScorer:
    """A plain function ``f(query, documents) -> scores`` as a `Scorer`.

    Args:
        function: Returns one number in [0, 1] per document, in their order.
        name: The function's own name unless given.
        version: Free text; change it when the function's scores change.
        pointwise: True only if each score depends on the query and its own document alone.
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
        """Return the function's scores, checked.

        Raises:
            ScorerError: Not one finite number in [0, 1] per document.
        """
        scores = self._function(query, documents)
        return check_scores(self, scores, len(documents))


def check_scores(scorer: Scorer, scores: object, n: int) -> list[float]:
    """Return *scores* as a list of *n* floats, or say what is wrong with them.

    Numpy arrays and their numbers are accepted; bool, text, NaN and infinities are not.

    Raises:
        ScorerError: Not iterable, not *n* of them, or one is not a number in [0, 1].
    """
    if isinstance(scores, (str, bytes)) or not isinstance(scores, Iterable):
        kind = type(scores).__name__
        raise ScorerError(f"scorer {scorer.name!r} returned {kind}; return a list of {n} numbers in [0, 1].")
    values = list(scores)
    if len(values) != n:
        raise ScorerError(
            f"scorer {scorer.name!r} returned {len(values)} scores for {n} documents; "
            "return exactly one per document, in their order."
        )
    return [_checked(scorer.name, index, value) for index, value in enumerate(values)]


def _checked(name: str, index: int, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ScorerError(
            f"scorer {name!r} returned {type(value).__name__} for document {index}; a score is a number in [0, 1]."
        )
    score = float(value)
    if math.isnan(score) or not 0.0 <= score <= 1.0:
        raise ScorerError(
            f"scorer {name!r} returned {score} for document {index}; a score lies in [0, 1] "
            "(pass a raw model score through a sigmoid first)."
        )
    return score
