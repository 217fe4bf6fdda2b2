"""Which rows are done, and which of them failed of what: sets of their numbers, for any number of rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cohere_rerank.errors import InvalidRequestError

__all__ = ["Failures", "RowSet"]

_INVALID = InvalidRequestError.__name__  # what is found before anything is sent


class RowSet:
    """A set of row numbers, at an eighth of a byte each."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] & 1 << (number & 7))

    def add(self, number: int) -> None:
        """Put a number >= 0 in."""
        if number in self:
            return
        at = number >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(max(at + 1 - len(self._bits), len(self._bits) // 8)))
        self._bits[at] |= 1 << (number & 7)
        self._n += 1

    def discard(self, number: int) -> None:
        """Take a number out, if it is in."""
        if number in self:
            self._bits[number >> 3] &= ~(1 << (number & 7))
            self._n -= 1


class Failures(RowSet):
    """Rows that have an error, by its kind: its type and status. Take one in with `put`."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, RowSet] = {}
        self._example = (0, "")  # of a row that is invalid, and what is wrong with it

    def put(self, number: int, error: Mapping[str, Any]) -> None:
        """Note the error of a row; it counts in place of the one before."""
        self.discard(number)
        self.add(number)
        status = error.get("status_code")
        kind = str(error.get("type")) + ("" if status is None else f", status {status}")
        rows = self._kinds.setdefault(kind, RowSet())
        rows.add(number)
        if kind == _INVALID and (self._example[0] == number or self._example[0] not in rows):
            self._example = number, str(error.get("message"))

    def discard(self, number: int) -> None:
        """Take a row out, if it is in."""
        if number in self:
            super().discard(number)
            for rows in self._kinds.values():
                rows.discard(number)

    @property
    def n_invalid(self) -> int:
        """How many could not be sent."""
        return len(self._kinds.get(_INVALID, ()))

    def commonest(self) -> str | None:
        """The kind that most rows have, and how many. Of a server's words nothing; of ours an example."""
        if not self:
            return None
        kind, rows = max(self._kinds.items(), key=lambda pair: len(pair[1]))
        example = f", such as {self._example[1]}" if kind == _INVALID and self._example[0] in rows else ""
        return f"{kind} ({len(rows):,} of {len(self):,}){example}"
