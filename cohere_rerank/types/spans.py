"""Relevant spans: how to ask for them, and the spans of a result."""

# The annotations are real types, because schemas are made from them: no `from __future__ import annotations`.
from typing import Annotated, Literal

from cohere_rerank._result_base import ResultBase
from cohere_rerank._result_type import Constraint, result_type

Position = Annotated[int, Constraint(strict=True, ge=0)]
"""An index or a position in a text, from 0."""

Score = Annotated[float, Constraint(strict=True, allow_inf_nan=False)]
"""A score, which is a finite number."""

StopAtFirstError = Constraint(fail_fast=True)
"""For a list: many wrong items raise one error. All errors together need 600 times the memory of the reply."""

# Any string is allowed, so that a mode of a newer API can be sent.
RerankRelevantSpansMode = Literal["enabled", "disabled"] | str  # noqa: PYI051


@result_type
class RerankRelevantSpans(ResultBase):
    """Asks for the passages that made each document relevant (Rerank v5 and newer).

    Attributes:
        mode: "enabled" or "disabled".
        threshold: The lowest score of a span, in [0, 1]. Default: None, the API's default of 0.1.
        max_spans: The largest number of spans for each document. Default: None, all spans.
    """

    mode: RerankRelevantSpansMode
    threshold: float | None = None
    max_spans: int | None = None


@result_type
class RerankRelevantSpanResponse(ResultBase):
    """A relevant passage ``text[start:end]`` of a document.

    Attributes:
        start: The position of its first character, in Unicode code points, from 0.
        end: The position after its last character.
        score: The relevance of the passage, in [0, 1].
    """

    start: Position
    end: Position
    score: Score
