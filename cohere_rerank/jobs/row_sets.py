"""Sets of row numbers: which rows are done, and which failed with which error. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cohere_rerank.errors import InvalidRequestError

__all__ = ["Failures", "RowSet"]

_INVALID = InvalidRequestError.__name__  # of rows that were not sent
_BLOCK_ROWS = 4096


class RowSet:
    """A set of row numbers that takes about one bit for each row.

    The bits are in blocks, so that a few large numbers need little memory.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def __contains__(self, number: int) -> bool:
        block = self._blocks.get(number // _BLOCK_ROWS)
        return block is not None and bool(block[number % _BLOCK_ROWS >> 3] & 1 << (number & 7))

    def add(self, number: int) -> None:
        """Add a number >= 0."""
        block = self._blocks.get(number // _BLOCK_ROWS)
        if block is None:
            block = self._blocks[number // _BLOCK_ROWS] = bytearray(_BLOCK_ROWS >> 3)
        place, bit = number % _BLOCK_ROWS >> 3, 1 << (number & 7)
        if not block[place] & bit:
            block[place] |= bit
            self._n += 1

    def discard(self, number: int) -> None:
        """Remove a number, if it is in the set."""
        if number in self:
            self._blocks[number // _BLOCK_ROWS][number % _BLOCK_ROWS >> 3] &= ~(1 << (number & 7))
            self._n -= 1


class Failures(RowSet):
    """Rows that have an error, by type and status of the error. `record` adds a row."""

    def __init__(self) -> None:
        super().__init__()
        self._by_kind: dict[str, RowSet] = {}
        self._example = (0, "")  # an invalid row, and its message

    def record(self, number: int, error: Mapping[str, Any]) -> None:
        """Record the error of a row. It replaces an earlier error of the row."""
        self.discard(number)
        self.add(number)
        status = error.get("status_code")
        kind = str(error.get("type")) + ("" if status is None else f", status {status}")
        rows = self._by_kind.setdefault(kind, RowSet())
        rows.add(number)
        if kind == _INVALID and (self._example[0] == number or self._example[0] not in rows):
            self._example = number, str(error.get("message"))

    def discard(self, number: int) -> None:
        """Remove a row, if it is in the set."""
        if number in self:
            super().discard(number)
            for rows in self._by_kind.values():
                rows.discard(number)

    @property
    def n_invalid(self) -> int:
        """How many rows could not be sent."""
        return len(self._by_kind.get(_INVALID, ()))

    def most_common(self) -> str | None:
        """Return the error that most rows have, and their number.

        The text quotes no server. For invalid rows it has an example, whose message is from this package.
        """
        if not self:
            return None
        kind, rows = max(self._by_kind.items(), key=lambda pair: len(pair[1]))
        example = f", such as {self._example[1]}" if kind == _INVALID and self._example[0] in rows else ""
        return f"{kind} ({len(rows):,} of {len(self):,}){example}"
