"""The passages of a document that matter to a query."""

from __future__ import annotations

import re

from cohere_rerank.local.lexical import LexicalScorer
from cohere_rerank.local.scorer import Scorer

_SENTENCE = re.compile(r"[^.!?。！？।\n]+[.!?。！？।]*")
_MAX_CHARS = 400


def find_spans(
    query: str,
    document: str,
    *,
    threshold: float,
    max_spans: int | None,
    scorer: Scorer | None = None,
) -> list[tuple[int, int, float]]:
    """Return the relevant sentences or windows of *document*, best first.

    Args:
        query: The question.
        document: Any text.
        threshold: In [0, 1]; only spans scoring above it are returned.
        max_spans: At most this many; None for all.
        scorer: Scores the candidate spans; the lexical scorer unless given.

    Returns:
        ``(start, end, score)``: code-point offsets ``[start, end)``, score in [0, 1].
    """
    spans = _candidates(document)
    if not spans:
        return []
    scores = (scorer or LexicalScorer()).score(query, [document[a:b] for a, b in spans])
    found = [(a, b, s) for (a, b), s in zip(spans, scores) if s > threshold]
    found.sort(key=lambda span: (-span[2], span[0]))
    return found[:max_spans]


def _candidates(document: str) -> list[tuple[int, int]]:
    spans = []
    for match in _SENTENCE.finditer(document):
        text = match.group()
        start = match.start() + len(text) - len(text.lstrip())
        end = match.end() - len(text) + len(text.rstrip())
        spans += [(i, min(i + _MAX_CHARS, end)) for i in range(start, end, _MAX_CHARS)]
    return spans
