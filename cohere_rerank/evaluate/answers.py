"""The scores that systems have returned, in a file, so that an evaluation can continue without paying again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_json

from cohere_rerank._json_lines import parse_json
from cohere_rerank._wire.documents import to_texts
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.errors import FileError

from .lists import LabelledList

__all__ = ["Answers"]


class Answers:
    """Scores by a key of the system, the query and the documents. Each line of the file has the scores of one list.

    Args:
        path: The file. It is created with the first answer. None: nothing is kept.

    Raises:
        FileError: The file exists and has other content.
    """

    def __init__(self, path: str | PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self._scores: dict[str, list[float]] = {}
        self._file: IO[bytes] | None = None
        if self.path is not None and self.path.exists():
            self._restore(self.path)

    def _restore(self, path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, start=1):
            try:
                record: Any = parse_json(line)
                key, scores = record["key"], [float(score) for score in record["scores"]]
            except (InvalidRequestError, TypeError, KeyError, ValueError):
                if number == len(lines) and not line.endswith(b"\n") and number > 1:
                    path.write_bytes(b"".join(lines[:-1]))  # a crash left the start of a line
                    return
                raise FileError(f"{path}, line {number}: this is not a file of answers; choose another one") from None
            self._scores[key] = scores

    def key(self, system: str, item: LabelledList) -> str:
        """Return the key of a list for a system."""
        if self.path is None:
            return ""
        _, texts = to_texts(item.documents)
        return hashlib.blake2b(to_json([system, item.query, texts]), digest_size=16).hexdigest()

    def get(self, key: str) -> list[float] | None:
        """Return the scores of a key, or None."""
        return self._scores.get(key)

    def put(self, key: str, scores: Sequence[float]) -> None:
        """Keep scores, and write them at once. Documents without a score have the lowest number."""
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("ab")
        finite = [max(score, -1.7e308) for score in scores]
        self._file.write(to_json({"key": key, "scores": finite}) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
