"""The longest part of a query that a text contains, found in linear time; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_MAX_SEARCHED_CHARS = 150  # up to this length, repeated `in` is faster, and its worst case is small


class RunFinder:
    """Finds the longest part of a query that starts at a word and is in a text.

    A short query is searched with `in`, start by start. In the worst case that takes time in proportion to the square
    of the query's length, so a long query becomes a suffix automaton of its reversed text, which reads each character
    of a text once.

    Args:
        query: A folded query, not empty.
        starts: The positions where words start.
    """

    def __init__(self, query: str, starts: Sequence[int]) -> None:
        self._query, self._starts = query, starts
        self._min_chars = len(query) // 4 + 1
        self._automaton = _Automaton(query, frozenset(starts)) if len(query) > _MAX_SEARCHED_CHARS else None

    def longest_share(self, text: str) -> float:
        """Return the length of the longest part of the query in *text*, as a share of the query.

        0 if it is a quarter of the query or less: short runs say no more than grams.
        """
        return self.longest(text)[0] / len(self._query)

    def longest(self, text: str) -> tuple[int, int | None]:
        """Return the length of the longest part of the query in *text*, and where it starts in the query.

        The length is 0 if it is a quarter of the query or less. The start of a long query's part is not known.
        """
        if len(text) < self._min_chars:
            return 0, None
        if self._automaton is None:
            return self._search(text)
        length = self._automaton.longest(text)
        return (length if length >= self._min_chars else 0), None

    def _search(self, text: str) -> tuple[int, int | None]:
        query, n = self._query, len(self._query)
        longest, found = self._min_chars - 1, None
        for start in self._starts:
            while start + longest < n and query[start : start + longest + 1] in text:
                longest += 1
                found = start
        return (0 if found is None else longest), found


class _Automaton:
    """A suffix automaton of the reversed query.

    After it has read a reversed text down to a position, its state is the set of places in the query where the longest
    match that begins at this position occurs. A state is marked if one of these places is the start of a word.

    Source: A. Blumer et al., "The smallest automaton recognizing the subwords of a text" (1985).
    """

    def __init__(self, query: str, starts: Collection[int]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._link, self._length, self._marked = [-1], [0], [True]
        last = 0
        for position in range(len(query) - 1, -1, -1):
            last = self._add(last, query[position], is_start=position in starts)
        by_length = sorted(range(1, len(self._link)), key=self._length.__getitem__, reverse=True)
        for state in by_length:
            self._marked[self._link[state]] |= self._marked[state]
        # For an unmarked state: the length of the longest shorter match that begins at the start of a word.
        self._shorter = [0] * len(self._link)
        for state in reversed(by_length):
            link = self._link[state]
            self._shorter[state] = self._length[link] if self._marked[link] else self._shorter[link]

    def _add(self, last: int, char: str, *, is_start: bool) -> int:
        new = self._new_state(self._length[last] + 1, 0, {}, is_marked=is_start)
        state = last
        while state >= 0 and char not in self._next[state]:
            self._next[state][char] = new
            state = self._link[state]
        if state < 0:
            return new
        target = self._next[state][char]
        if self._length[target] != self._length[state] + 1:
            clone = self._new_state(self._length[state] + 1, self._link[target], self._next[target], is_marked=False)
            self._link[target] = clone
            while state >= 0 and self._next[state].get(char) == target:
                self._next[state][char] = clone
                state = self._link[state]
            target = clone
        self._link[new] = target
        return new

    def _new_state(self, length: int, link: int, following: dict[str, int], *, is_marked: bool) -> int:
        self._next.append(dict(following))
        self._link.append(link)
        self._length.append(length)
        self._marked.append(is_marked)
        return len(self._link) - 1

    def longest(self, text: str) -> int:
        """Return the length of the longest match in *text* that begins at the start of a word of the query."""
        next_state, link, length = self._next, self._link, self._length
        marked, shorter = self._marked, self._shorter
        state = n_matched = longest = 0
        for char in reversed(text):
            while state and char not in next_state[state]:
                state = link[state]
                n_matched = length[state]
            if char in next_state[state]:
                state = next_state[state][char]
                n_matched += 1
                if n_matched > longest:
                    longest = max(longest, n_matched if marked[state] else shorter[state])
        return longest
