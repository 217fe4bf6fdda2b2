"""Cut JSON text into its values: the items of an array, or values one after another. It never parses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from .errors import FileError

__all__ = ["MAX_RECORD_BYTES", "split_values"]

MAX_RECORD_BYTES = 256 << 20
"""The size of the largest row. A row has at most some thousand documents."""

_CHUNK_BYTES = 1 << 16
_STRING_REST = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_NOT_STRUCTURE = re.compile(rb'[^"{}\[\],\s]*')
_NOT_NESTING = re.compile(rb'[^"{}\[\]]*')
_SPACE = b" \t\r\n"


def split_values(file: IO[bytes], place: str) -> Iterator[bytes]:
    """Yield the text of each value of a JSON file.

    A file that starts with ``[`` is one array, and its items are yielded. Several arrays may follow one another. Any
    other file has values one after another, with white space, line breaks or record separators between them.

    Args:
        file: The content in UTF-8.
        place: The name of the file, for messages.

    Raises:
        FileError: The text is cut off, a bracket is missing or too much, or a value is larger than MAX_RECORD_BYTES.
    """
    splitter = _Splitter(place)
    while chunk := file.read(_CHUNK_BYTES):
        yield from splitter.feed(chunk)
    yield from splitter.finish()


class _Splitter:
    """The state between two chunks: where in the buffer, and how deep, the scan is."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._buffer = bytearray()
        self._at = 0  # everything before is scanned
        self._start = -1  # of the current value, or -1 between values
        self._depth = 0  # inside the current value
        self._is_in_string = False
        self._is_in_array = False  # the outer array
        self._needs_comma = False
        self._n_values = 0
        self._n_dropped = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Add bytes, and yield the values that are complete."""
        self._buffer += chunk
        while self._at < len(self._buffer):
            before = self._at, self._start
            if self._start < 0:
                self._between()
            elif (value := self._inside()) is not None:
                yield value
            if (self._at, self._start) == before:  # the rest is the start of something
                break
        self._drop()

    def finish(self) -> Iterator[bytes]:
        """Yield a last value that has no end mark, such as a number.

        Raises:
            FileError: The text is cut off.
        """
        if self._start >= 0 and not self._depth and not self._is_in_string and not self._is_in_array:
            yield self._value(len(self._buffer))
        elif self._start >= 0 or self._is_in_array:
            raise self._broken("the text is cut off; is the file complete?")

    def _broken(self, problem: str) -> FileError:
        return FileError(f"{self._place}: broken JSON after {self._n_values} values: {problem}")

    def _drop(self) -> None:
        """Forget what is scanned and not part of the current value."""
        if self._start >= 0 and len(self._buffer) - self._start > MAX_RECORD_BYTES:
            raise self._broken(f"the next value is larger than {MAX_RECORD_BYTES >> 20} MiB")
        keep = self._at if self._start < 0 else self._start
        if keep > _CHUNK_BYTES // 2:
            del self._buffer[:keep]
            self._at -= keep
            self._start = -1 if self._start < 0 else 0

    def _between(self) -> None:
        """Step over one byte between values, or find the start of a value."""
        byte = self._buffer[self._at : self._at + 1]
        if byte in b" \t\r\n\x1e":
            self._at += 1
        elif byte == b"[" and not self._is_in_array:
            self._is_in_array, self._needs_comma = True, False
            self._at += 1
        elif byte == b"]" and self._is_in_array:
            self._is_in_array = self._needs_comma = False
            self._at += 1
        elif byte == b"," and self._needs_comma:
            self._needs_comma = False
            self._at += 1
        elif byte in b"]},:" or (self._is_in_array and self._needs_comma):
            raise self._broken(f"unexpected {byte.decode('ascii', 'replace')!r} between two values")
        else:
            self._start = self._at

    def _inside(self) -> bytes | None:
        """Scan on inside a value, and return it if its end is reached."""
        if self._is_in_string:
            return self._string()
        pattern = _NOT_NESTING if self._depth else _NOT_STRUCTURE
        match = pattern.match(self._buffer, self._at)
        assert match is not None, pattern
        self._at = match.end()
        if self._at == len(self._buffer):
            return None
        byte = self._buffer[self._at : self._at + 1]
        if byte == b'"':
            self._at += 1
            self._is_in_string = True
            return None
        if not self._depth and (byte in b",]}" or byte in _SPACE):
            return self._value(self._at)  # the end of a number or a name
        self._at += 1
        self._depth += 1 if byte in b"{[" else -1
        return None if self._depth else self._value(self._at)

    def _string(self) -> bytes | None:
        match = _STRING_REST.match(self._buffer, self._at)
        assert match is not None
        self._at = match.end()
        if self._buffer[self._at : self._at + 1] != b'"':
            return None
        self._at += 1
        self._is_in_string = False
        return None if self._depth else self._value(self._at)

    def _value(self, end: int) -> bytes:
        value = bytes(self._buffer[self._start : end])
        self._start, self._at, self._depth = -1, end, 0
        self._n_values += 1
        self._needs_comma = self._is_in_array
        return value
