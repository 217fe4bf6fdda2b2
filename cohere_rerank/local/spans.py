"""The passages of a document that matter to a query."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .lexical import LexicalScorer
from .scorer import Scorer, check_scores

# Where a sentence may end: a full stop only after a word of two letters or more ("D.C." goes on) and before a
# space; a mark of a script that has no such other use wherever it stands; a line break. What closes a quotation
# or bracket belongs to the sentence it closes. No pattern here can backtrack more than it has read.
_SENTENCE_END = re.compile(
    r"(?:(?<=\w[\w)\]%\"'”’»])\.|(?<=\.\.)\.|[!?…؟۔։፧፨])[\"'”’»)\]]*(?=\s)"
    r"|(?:[。！？｡।॥።།༎။៕]|፡፡)+[」』）】”’\"']*"
    r"|\n"
)
_MAX_CHARS = 400  # longer sentences, and text without any mark, are cut into windows
_MIN_CHARS = 200  # of a window that is cut at a space; one without a space is cut at _MAX_CHARS


def find_spans(
    query: str, document: str, *, threshold: float, max_spans: int | None, scorer: Scorer | None = None
) -> list[tuple[int, int, float]]:
    """Return the sentences of *document* that matter to *query*, best first.

    Text without sentence marks, as in Thai, and sentences of more than 400 characters are cut into windows.

    Args:
        query: The question.
        document: Any text.
        threshold: In [0, 1]; only what scores above it is returned.
        max_spans: At most this many, at least 1; None for all.
        scorer: Scores the sentences against each other; the lexical scorer unless given.

    Returns:
        ``(start, end, score)``: ``document[start:end]`` is the span, the score is in [0, 1]. Spans do not overlap;
        equal scores stand in the order of the text.

    Raises:
        ScorerError: The scorer gave something that is no score.
    """
    spans = [span for start, end in _sentences(document) for span in _windows(document, start, end)]
    if not spans:
        return []
    scorer = LexicalScorer() if scorer is None else scorer
    scores = check_scores(scorer, scorer.score(query, [document[start:end] for start, end in spans]), len(spans))
    found = [(start, end, score) for (start, end), score in zip(spans, scores) if score > threshold]
    found.sort(key=lambda span: (-span[2], span[0]))
    return found[:max_spans]


def _sentences(document: str) -> Iterator[tuple[int, int]]:
    start = 0
    for mark in _SENTENCE_END.finditer(document):
        yield start, mark.end()
        start = mark.end()
    yield start, len(document)


def _windows(document: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a sentence into windows of equal right, without the white space around them; none if it is all space."""
    while start < end and document[start].isspace():
        start += 1
    while start < end and document[end - 1].isspace():
        end -= 1
    while end - start > _MAX_CHARS:
        space = document.rfind(" ", start + _MIN_CHARS, start + _MAX_CHARS)
        cut = space if space > 0 else start + _MAX_CHARS
        yield start, cut
        start = cut + (space > 0)
    if start < end:
        yield start, end
