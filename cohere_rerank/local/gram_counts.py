"""Count the grams of a query in the documents of a list, in linear time; pure."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice

from .work import check_deadline

Counts = list[tuple[int, int]]  # the index of a document and a count of at least 1

# The costs of the two ways to count, in nanoseconds on one machine. Only their ratio matters.
_SCAN_CALL, _SCAN_CHAR = 90, 0.6  # one `str.count`
_INDEX_CHAR = 60  # one look-up in the dict of grams


class Grams(dict[str, float]):
    """The weights of the grams of a query, and what is derived from them once. Do not change it."""

    @cached_property
    def by_size(self) -> list[dict[tuple[str, ...], str]]:
        """The grams of each length by their characters."""
        sizes = dict.fromkeys(map(len, self))
        return [{tuple(gram): gram for gram in self if len(gram) == size} for size in sizes]

    @cached_property
    def positions(self) -> dict[str, int]:
        """The position of each gram."""
        return {gram: position for position, gram in enumerate(self)}


def gram_counts(grams: Grams, texts: Sequence[str]) -> Iterator[tuple[str, Counts]]:
    """Yield each gram that a text contains with its counts, in the order of *grams*.

    A count is that of `str.count`: occurrences do not overlap.

    A few grams are counted one by one, each in all texts. With many grams that would take time in proportion to their
    number, so then each text is read once, and each of its parts is looked up among the grams.
    """
    n_chars = sum(map(len, texts))
    scan_cost = len(grams) * (len(texts) * _SCAN_CALL + n_chars * _SCAN_CHAR)
    if scan_cost <= len(grams.by_size) * n_chars * _INDEX_CHAR:
        yield from _scan(grams, texts)
    else:
        yield from _index(grams, texts)


def _scan(grams: Mapping[str, float], texts: Sequence[str]) -> Iterator[tuple[str, Counts]]:
    counters = [text.count for text in texts]
    for gram in grams:
        counts = [(i, n) for i, count in enumerate(counters) if (n := count(gram))]
        if counts:
            yield gram, counts


def _index(grams: Grams, texts: Sequence[str]) -> Iterator[tuple[str, Counts]]:
    # A text can contain as many grams as characters, and a list of tuples takes 64 bytes for each of them.
    index_type = "H" if len(texts) < 1 << 16 else "Q"
    once: defaultdict[str, array[int]] = defaultdict(partial(array, index_type))
    repeated: defaultdict[str, Counts] = defaultdict(list)
    for i, text in enumerate(texts):
        check_deadline()
        for grams_of_size in grams.by_size:
            for gram, n in _occurrences(grams_of_size, text):
                if n == 1:
                    once[gram].append(i)
                else:
                    repeated[gram].append((i, n))
    for gram in sorted(once.keys() | repeated.keys(), key=grams.positions.__getitem__):
        counts = [(i, 1) for i in once.pop(gram, ())]
        if gram in repeated:
            counts = sorted(counts + repeated.pop(gram))
        yield gram, counts


def _occurrences(grams: Mapping[tuple[str, ...], str], text: str) -> Iterator[tuple[str, int]]:
    """Yield the grams that *text* contains with their counts. All grams have the same length, and the keys spell them.

    No loop of Python runs per character: it would take twice as long.
    """
    size = len(next(iter(grams)))
    parts = zip(*(islice(text, start, None) for start in range(size)))
    for part, n in Counter(filter(grams.__contains__, parts)).items():
        gram = grams[part]
        yield gram, n if n == 1 or not _can_overlap(gram) else text.count(gram)


def _can_overlap(gram: str) -> bool:
    """Return whether two occurrences of a gram can overlap. Then they must not both count."""
    return any(gram.endswith(gram[:n]) for n in range(1, len(gram)))
