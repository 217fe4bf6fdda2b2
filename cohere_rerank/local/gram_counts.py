"""Count the grams of a query in the documents of a list, in linear time; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Counts = list[tuple[int, int]]  # the index of a document and a count of at least 1

# The costs of the two ways to count, in nanoseconds on one machine. Only their ratio matters.
_SCAN_CALL, _SCAN_CHAR = 90, 0.6  # one `str.count`
_INDEX_CHAR = 100  # one look-up in the dict of grams


def gram_counts(grams: Mapping[str, float], texts: Sequence[str]) -> Iterator[tuple[str, Counts]]:
    """Yield each gram that a text contains with its counts, in the order of *grams*.

    A count is that of `str.count`: occurrences do not overlap.

    A few grams are counted one by one, each in all texts. With many grams that would take time in proportion to their
    number, so then each text is read once, and each of its parts is looked up among the grams.
    """
    sizes = {len(gram) for gram in grams}
    n_chars = sum(map(len, texts))
    scan_cost = len(grams) * (len(texts) * _SCAN_CALL + n_chars * _SCAN_CHAR)
    if scan_cost <= len(sizes) * n_chars * _INDEX_CHAR:
        yield from _scan(grams, texts)
    else:
        yield from _index(grams, texts, sizes)


def _scan(grams: Mapping[str, float], texts: Sequence[str]) -> Iterator[tuple[str, Counts]]:
    counters = [text.count for text in texts]
    for gram in grams:
        counts = [(i, n) for i, count in enumerate(counters) if (n := count(gram))]
        if counts:
            yield gram, counts


def _index(grams: Mapping[str, float], texts: Sequence[str], sizes: set[int]) -> Iterator[tuple[str, Counts]]:
    found: dict[str, Counts] = {}
    for i, text in enumerate(texts):
        counts: dict[str, int] = {}
        for size in sizes:
            free_from: dict[str, int] = {}  # occurrences of one gram must not overlap
            for start in range(len(text) - size + 1):
                gram = text[start : start + size]
                if gram in grams and start >= free_from.get(gram, 0):
                    counts[gram] = counts.get(gram, 0) + 1
                    free_from[gram] = start + size
        for gram, n in counts.items():
            found.setdefault(gram, []).append((i, n))
    yield from ((gram, found[gram]) for gram in grams if gram in found)
