"""Labelled lists: a query, its documents, and the relevance of each document."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

from cohere_rerank._json_lines import numbered_lines, parse_json
from cohere_rerank._wire.documents import to_texts
from cohere_rerank.errors import InvalidRequestError

__all__ = ["LabelledList", "collect", "load_lists"]

_MAX_GRADE = 1_000_000  # keeps sums of grades exact
_GRADE_FIELDS = ("grades", "judgements", "judgments")  # the names of the field with one number per document


@dataclass(frozen=True)
class LabelledList:
    """One query with judged documents. It copies the lists, and checks them like the arguments of ``rerank``.

    Args:
        query: The query, not blank.
        documents: n documents, in any form that ``rerank`` accepts.
        grades: n numbers from 0 to 1,000,000. 0 means "not relevant", and a larger number means "more relevant".

    Raises:
        InvalidRequestError: The query or a document is not valid, the lengths differ, or a grade is not valid.
    """

    query: str
    documents: Sequence[object] = field(repr=False)
    grades: Sequence[float]

    def __post_init__(self) -> None:
        query: object = self.query
        if not isinstance(query, str) or not query.strip():
            raise InvalidRequestError("query must be a string that is not blank")
        documents, _ = to_texts(self.documents)
        grades = _check_grades(self.grades)
        if len(documents) != len(grades):
            raise InvalidRequestError(
                f"there are {len(documents)} documents and {len(grades)} grades; each document needs one"
            )
        object.__setattr__(self, "documents", documents)
        object.__setattr__(self, "grades", grades)


def _check_grades(grades: object) -> list[float]:
    if isinstance(grades, (str, bytes)) or not isinstance(grades, Iterable):
        raise InvalidRequestError(f"grades must be a list of numbers, got {type(grades).__name__}")
    listed = list(grades)
    for index, grade in enumerate(listed):
        if not _is_number(grade) or not 0 <= grade <= _MAX_GRADE:
            raise InvalidRequestError(
                f"the grade at index {index} must be a number from 0 to {_MAX_GRADE}, got {_describe(grade)}"
            )
    return [float(grade) for grade in listed]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _describe(value: object) -> str:
    return reprlib.repr(value) if _is_number(value) else type(value).__name__  # a text may be a document


def collect(lists: Iterable[LabelledList] | str | PathLike[str]) -> list[LabelledList]:
    """Return all lists, checked before the first one is ranked, because rankings may cost money.

    Args:
        lists: Labelled lists, or the path of a JSON Lines file.

    Raises:
        InvalidRequestError: There are no lists, one is not a `LabelledList`, or none has a relevant document.
    """
    collected = load_lists(lists) if isinstance(lists, (str, PathLike)) else list(lists)
    items: list[object] = [*collected]
    for index, item in enumerate(items):
        if not isinstance(item, LabelledList):
            raise InvalidRequestError(f"lists[{index}] must be a LabelledList, got {type(item).__name__}")
    if not any(any(item.grades) for item in collected):
        raise InvalidRequestError(f"none of the {len(collected)} lists has a relevant document")
    return collected


def load_lists(path: str | PathLike[str]) -> list[LabelledList]:
    """Read labelled lists from JSON Lines.

    Each line is an object with ``query``, ``documents`` and either ``relevant`` or ``grades``. ``relevant`` has the
    indices of the relevant documents, from 0. ``grades`` (or ``judgements``) has one number per document. Other fields
    are ignored, and blank lines are skipped.

    Raises:
        InvalidRequestError: A line is not such an object. The message names the file and the line.
        OSError: The file cannot be read.
    """
    return list(_read(Path(path)))


def _read(path: Path) -> Iterator[LabelledList]:
    with path.open("rb") as lines:
        for number, line in numbered_lines(lines):
            try:
                yield _from_record(parse_json(line))
            except InvalidRequestError as error:
                raise InvalidRequestError(f"{path}, line {number}: {error}") from None


def _from_record(record: Any) -> LabelledList:
    if not isinstance(record, dict):
        raise InvalidRequestError(f"it must be an object, got {type(record).__name__}")
    query, documents = record.get("query"), record.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list):
        raise InvalidRequestError("it must have query (a string) and documents (a list)")
    present = [name for name in ("relevant", *_GRADE_FIELDS) if record.get(name) is not None]
    if len(present) != 1:
        found = " and ".join(present) or "neither"
        raise InvalidRequestError(
            f"it must have either relevant (a list of indices) or grades (a number for each document), found {found}"
        )
    judged = record[present[0]]
    if not isinstance(judged, list):
        raise InvalidRequestError(f"{present[0]} must be a list, got {type(judged).__name__}")
    if present == ["relevant"]:
        judged = _grades_from_indices(judged, len(documents))
    return LabelledList(query, documents, judged)


def _grades_from_indices(relevant: list[Any], n_documents: int) -> list[float]:
    grades = [0.0] * n_documents
    for index in relevant:
        if type(index) is not int or not 0 <= index < n_documents:
            raise InvalidRequestError(f"relevant must have indices from 0 to {n_documents - 1}, got {_describe(index)}")
        grades[index] = 1.0
    return grades
