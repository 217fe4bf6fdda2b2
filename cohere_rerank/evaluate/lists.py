"""Labelled lists: a query, its documents, and the relevance of each document."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from numbers import Real
from os import PathLike
from typing import Any

from cohere_rerank._wire.documents import to_texts
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.errors import FileError
from cohere_rerank.files.names import plain
from cohere_rerank.files.options import ReadOptions
from cohere_rerank.files.rows import RowReader, open_rows
from cohere_rerank.files.shapes import FileRow

from .labels import grades_from_relevant, relevant_form
from .qrels import Qrels, load_qrels

__all__ = ["LabelledList", "collect", "is_measured", "load_lists"]

_MAX_GRADE = 1_000_000  # keeps sums of grades exact


@dataclass(frozen=True)
class LabelledList:
    """One query with judged documents. It copies the lists, and checks them like the arguments of ``rerank``.

    Args:
        query: The query, not blank.
        documents: n documents, in any form that ``rerank`` accepts.
        grades: n numbers from -1,000,000 to 1,000,000. A number above 0 means "relevant", and a larger one "more
            relevant".
        judged: The grade of each judged document of the query by its id, with those that are not among *documents*.
            Recall, nDCG and MAP then count them, as trec_eval does. Default: None, only *documents* are judged.
        id: The id of the query. Default: None.
        document_ids: The ids of the n documents. Default: None.

    Raises:
        InvalidRequestError: The query or a document is not valid, the lengths differ, or a grade is not valid.
    """

    query: str
    documents: Sequence[object] = field(repr=False)
    grades: Sequence[float]
    judged: Mapping[str, float] | None = field(default=None, repr=False, kw_only=True)
    id: str | int | None = field(default=None, kw_only=True)
    document_ids: Sequence[str | int | None] | None = field(default=None, repr=False, kw_only=True)

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
        if self.document_ids is not None and len(self.document_ids) != len(documents):
            raise InvalidRequestError(f"there are {len(documents)} documents and {len(self.document_ids)} document_ids")
        object.__setattr__(self, "documents", documents)
        object.__setattr__(self, "grades", grades)


def _check_grades(grades: object) -> list[float]:
    if isinstance(grades, (str, bytes)) or not isinstance(grades, Iterable):
        raise InvalidRequestError(f"grades must be a list of numbers, got {type(grades).__name__}")
    listed = list(grades)
    for index, grade in enumerate(listed):
        if not _is_number(grade) or not -_MAX_GRADE <= grade <= _MAX_GRADE:
            limits = f"from -{_MAX_GRADE} to {_MAX_GRADE}"
            raise InvalidRequestError(f"the grade at index {index} must be a number {limits}, got {_describe(grade)}")
    return [float(grade) for grade in listed]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _describe(value: object) -> str:
    return reprlib.repr(value) if _is_number(value) else type(value).__name__  # a text may be a document


def collect(
    lists: Iterable[LabelledList] | str | PathLike[str], read: ReadOptions | None = None, qrels: Qrels | None = None
) -> list[LabelledList]:
    """Return all lists, checked before the first one is ranked, because rankings may cost money.

    Args:
        lists: Labelled lists, or the path of a file with them.
        read: How the file is read.
        qrels: Judgements for the file.

    Raises:
        InvalidRequestError: There are no lists, one is not a `LabelledList`, or none has a relevant document.
    """
    if isinstance(lists, (str, PathLike)):
        collected = load_lists(lists, read, qrels=qrels)
    else:
        collected = list(lists)
    items: list[object] = [*collected]
    for index, item in enumerate(items):
        if not isinstance(item, LabelledList):
            raise InvalidRequestError(f"lists[{index}] must be a LabelledList, got {type(item).__name__}")
    if not any(is_measured(item) for item in collected):
        raise InvalidRequestError(f"none of the {len(collected)} lists has a relevant document")
    return collected


def is_measured(item: LabelledList) -> bool:
    """Whether a list has a relevant document, or judgements of its own, of which none may be relevant."""
    return item.judged is not None or any(grade > 0 for grade in item.grades)


def load_lists(
    path: str | PathLike[str],
    read: ReadOptions | None = None,
    *,
    qrels: Qrels | str | PathLike[str] | None = None,
) -> list[LabelledList]:
    """Read labelled lists from a file of any format and shape that a job reads.

    Labels are the fields ``relevant`` or ``grades`` (also ``judgements``). ``relevant`` has the indices of the relevant
    documents, from 0, or their ids, or a 0 or 1 for each document. ``grades`` has one number per document. Training
    data with positives and negatives, and pairs with a grade, have their labels. Other fields are ignored.

    Args:
        path: The file.
        read: How the file is read. Default: its format and shape are detected.
        qrels: Judgements by the ids of queries and documents, or the path of a file with them. The file then needs no
            labels, and a run needs no texts. Queries without a judgement are left out.

    Raises:
        FileError: The file cannot be read, or its shape is not known.
        InvalidRequestError: A row has no valid labels. The message names the file and the row.
    """
    judgements = load_qrels(qrels) if isinstance(qrels, (str, PathLike)) else qrels
    options = read or ReadOptions()
    if judgements is not None and options.corpus is None:
        options = replace(options, is_ids_only=True)
    rows: list[tuple[str, FileRow]] = []
    with closing(_open(path, options)) as reader:
        reader.prepare()
        for number, raw in reader:
            with _at(reader.full_place(number)):
                row = reader.parse(raw)
                rows.append((reader.full_place(number), replace(row, id=number) if row.id is None else row))
    if judgements is not None:
        return _with_qrels(rows, judgements, str(path))
    form = relevant_form([row for _, row in rows])
    lists = []
    for place, row in rows:
        with _at(place):
            lists.append(_from_row(row, form))
    return lists


def _open(path: str | PathLike[str], options: ReadOptions) -> RowReader:
    try:
        return open_rows(path, options)
    except FileError as error:
        if "no texts" not in error.message:
            raise
        raise FileError(f"{error.message}; to measure the run itself, add --qrels FILE") from None


@contextmanager
def _at(place: str) -> Iterator[None]:
    try:
        yield
    except FileError:
        raise
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{place}: {error.message}") from None


def _checked_row(row: FileRow) -> tuple[str, list[Any]]:
    if not isinstance(row.query, str) or not isinstance(row.documents, list):
        raise InvalidRequestError("it must have query (a string) and documents (a list)")
    return row.query, row.documents


def _from_row(row: FileRow, form: str | None) -> LabelledList:
    query, documents = _checked_row(row)
    ids = row.document_ids
    names = list(row.labels)
    if len(names) + (row.grades is not None) != 1:
        found = " and ".join(names) or "neither"
        raise InvalidRequestError(
            f"it must have either relevant (a list of indices) or grades (a number for each document), found {found}; "
            "--qrels adds judgements from another file"
        )
    judged = row.labels[names[0]] if names else row.grades
    if not isinstance(judged, list):
        raise InvalidRequestError(f"{names[0]} must be a list, got {type(judged).__name__}")
    if names and plain(names[0]) == "relevant":
        judged = grades_from_relevant(judged, len(documents), ids, form)
    elif not names:
        judged = [_pair_grade(grade) for grade in judged]
    item = LabelledList(query, documents, judged, id=row.id, document_ids=ids)
    return _in_order(item, row.ranking)


def _pair_grade(grade: object) -> float:
    try:
        return 0.0 if grade is None else float(grade)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InvalidRequestError(f"a grade must be a number, got {type(grade).__name__}") from None


def _in_order(item: LabelledList, ranking: Sequence[int] | None) -> LabelledList:
    """Return the list in the order of the retrieval."""
    if ranking is None:
        return item
    ids = item.document_ids
    return replace(
        item,
        documents=[item.documents[index] for index in ranking],
        grades=[item.grades[index] for index in ranking],
        document_ids=None if ids is None else [ids[index] for index in ranking],
    )


def _with_qrels(rows: Sequence[tuple[str, FileRow]], qrels: Qrels, path: str) -> list[LabelledList]:
    lists: list[LabelledList] = []
    for place, row in rows:
        judged = None if row.id is None else qrels.get(str(row.id))
        if judged is None:
            continue
        with _at(place):
            query, documents = _checked_row(row)
            ids = row.document_ids
            if ids is None:
                raise InvalidRequestError("the documents have no ids, which judgements need; add --document-id-field")
            grades = [0.0 if each is None else judged.get(str(each), 0.0) for each in ids]
            item = LabelledList(query, documents, grades, judged=judged, id=row.id, document_ids=ids)
            lists.append(_in_order(item, row.ranking))
    if rows and not lists:
        has_id = next((row.id for _, row in rows if row.id is not None), None)
        found = (
            "its rows have no query ids; add --id-field" if has_id is None else f"{str(has_id)!r} is one of the file"
        )
        raise FileError(f"{path}: none of its queries has a judgement; {next(iter(qrels))!r} is judged, {found}")
    return lists
