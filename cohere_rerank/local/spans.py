"""Find the passages of a document that are relevant to a query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from .lexical import SentenceScorer
from .scorer import Scorer, check_scores

# A sentence may end at a full stop, at a mark of another script, or at a line break. A full stop ends it only after a
# word of two letters or more (not in "D.C.") and before a space. Marks that have no other use end it anywhere. Closing
# quotation marks and brackets belong to the sentence before them. No pattern here backtracks more than it has read.
_SENTENCE_END = re.compile(
    r"(?:(?<=\w[\w)\]%\"'”’»])\.|(?<=\.\.)\.|[!?…؟۔։፧፨])[\"'”’»)\]]*(?=\s)"
    r"|(?:[。！？｡।॥።།༎။៕]|፡፡)+[」』）】”’\"']*"
    r"|\n"
)
_MAX_CHARS = 400  # longer sentences, and text without any mark, are cut into windows
_MIN_CHARS = 200  # the shortest window that is cut at a space; without a space the cut is at _MAX_CHARS


class SentenceBudget:
    """How many sentences may still be searched, over all documents of a request.

    Args:
        n: The number of sentences; None: unlimited.
    """

    def __init__(self, n: int | None = None) -> None:
        self._left = n
        self.is_exceeded = False

    def limit(self, sentences: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the sentences that the budget allows to search."""
        if self._left is None:
            return list(sentences)
        allowed = list(islice(sentences, self._left))
        self._left -= len(allowed)
        self.is_exceeded = self._left == 0 and next(sentences, None) is not None
        return allowed


def find_spans(
    query: str,
    document: str,
    *,
    threshold: float,
    max_spans: int | None,
    scorer: Scorer | None = None,
    budget: SentenceBudget | None = None,
) -> list[tuple[int, int, float]]:
    """Return the sentences of *document* that are relevant to *query*, best first.

    Text without sentence marks, as in Thai, and sentences of more than 400 characters are cut into windows.

    Args:
        query: The query.
        document: Any text.
        threshold: In [0, 1]. Only spans with a higher score are returned.
        max_spans: The most spans that are returned, at least 1; None: all.
        scorer: Scores the sentences as the documents of one list. Default: the lexical scorer.
        budget: The sentences that may be searched. Later ones are ignored. Default: unlimited.

    Returns:
        ``(start, end, score)``: ``document[start:end]`` is the span, and the score is in [0, 1]. Spans do not overlap.
        Spans with equal scores are in the order of the text.

    Raises:
        ScorerError: The scorer returned a value that is not a score.
    """
    candidates = (span for start, end in _sentences(document) for span in _windows(document, start, end))
    spans = (budget or SentenceBudget()).limit(candidates)
    if not spans:
        return []
    scorer = SentenceScorer() if scorer is None else scorer
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
    """Cut a sentence into windows without the white space around them. A sentence of white space has none."""
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
