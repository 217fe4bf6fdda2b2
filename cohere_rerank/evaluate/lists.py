"""Labelled lists: a query, its documents, and how relevant each is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from cohere_rerank.errors import InvalidRequestError


@dataclass(frozen=True)
class LabelledList:
    """One query with judged documents.

    Args:
        query: The query.
        documents: n documents, in any form that ``rerank`` takes.
        grades: n numbers, 0 for "not relevant", larger for "more relevant".

    Raises:
        InvalidRequestError: The lengths differ, or a grade is negative or no number.
    """

    query: str
    documents: Sequence[object]
    grades: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.documents) != len(self.grades):
            raise InvalidRequestError(f"there are {len(self.documents)} documents and {len(self.grades)} grades")
        grades: Sequence[object] = self.grades
        for index, grade in enumerate(grades):
            if isinstance(grade, bool) or not isinstance(grade, (int, float)) or not 0 <= grade < float("inf"):
                raise InvalidRequestError(f"the grade of document {index} must be a number >= 0, got {grade!r}")


def load_lists(path: str | PathLike[str]) -> list[LabelledList]:
    """Read labelled lists from JSON Lines.

    Each line is an object with ``query``, ``documents`` and one of: ``relevant``, the indices of the relevant
    documents; or ``grades`` (also ``judgements``), a number for each document. Other fields are left alone, blank
    lines skipped.

    Raises:
        InvalidRequestError: A line is no such object; the message names the file and the line.
        OSError: The file cannot be read.
    """
    return list(_read(Path(path)))


def _read(path: Path) -> Iterator[LabelledList]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _from_record(json.loads(line))
            except ValueError as error:  # ours, and those of JSON and UTF-8
                raise InvalidRequestError(f"{path.name}, line {number}: {error}") from None


def _from_record(record: Any) -> LabelledList:
    if not isinstance(record, Mapping):
        raise InvalidRequestError(f"must be an object, got {type(record).__name__}")
    query, documents = record.get("query"), record.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list):
        raise InvalidRequestError("must have a query (a string) and documents (a list)")
    grades = record.get("grades", record.get("judgements"))
    if grades is None:
        grades = _grades(record.get("relevant"), len(documents))
    if not isinstance(grades, list):
        raise InvalidRequestError(f"grades must be a list, got {type(grades).__name__}")
    return LabelledList(query, documents, grades)


def _grades(relevant: Any, n_documents: int) -> list[float]:
    if not isinstance(relevant, list):
        raise InvalidRequestError("must have relevant (a list of indices) or grades (a number for each document)")
    grades = [0.0] * n_documents
    for index in relevant:
        if type(index) is not int or not 0 <= index < n_documents:
            raise InvalidRequestError(f"relevant must hold indices below {n_documents}, got {index!r}")
        grades[index] = 1.0
    return grades
