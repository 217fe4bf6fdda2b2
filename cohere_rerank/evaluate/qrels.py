"""Judgements in files of their own (qrels): a grade for each pair of a query and a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.cells import clean_id
from cohere_rerank.files.errors import FileError
from cohere_rerank.files.names import DOC_ID, PAIR_ID, find
from cohere_rerank.files.opening import open_records
from cohere_rerank.files.options import ReadOptions
from cohere_rerank.files.readers import Reader, TextLines
from cohere_rerank.files.sources import check_regular, compression_of

__all__ = ["Qrels", "load_qrels"]

Qrels = Mapping[str, Mapping[str, float]]
_GRADE = ("score", "relevance", "rel", "grade", "label", "qrel", "judgement", "judgment")
_COLUMNS = {3: ("qid", "docno", "grade"), 4: ("qid", "q0", "docno", "grade")}
_KNOWN_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".parquet", ".arrow", ".feather")


def load_qrels(path: str | PathLike[str], encoding: str | None = None) -> dict[str, dict[str, float]]:
    """Read judgements: the form of TREC (query, 0, document, grade), that of BEIR (a table), or rows with these fields.

    Args:
        path: The file, which may be compressed.
        encoding: Its encoding. Default: UTF-8.

    Returns:
        For each query id, the grade of each judged document id. Ids are strings.

    Raises:
        FileError: The file cannot be read, a line is not a judgement, or two lines contradict one another.
    """
    qrels: dict[str, dict[str, float]] = {}
    for place, query_id, doc_id, grade in _judgements(Path(path), ReadOptions(encoding=encoding)):
        grades = qrels.setdefault(query_id, {})
        if grades.setdefault(doc_id, grade) != grade:
            raise FileError(f"{path}, {place}: the document {doc_id!r} has another grade for {query_id!r} before")
    if not qrels:
        raise FileError(f"{path}: it has no judgement")
    return qrels


def _judgements(path: Path, options: ReadOptions) -> Iterator[tuple[str, str, str, float]]:
    names = [ending.lower() for ending in path.suffixes]
    is_text = not any(ending in _KNOWN_ENDINGS for ending in names)
    reader: Reader[Any]
    if is_text:
        check_regular(path)
        reader = TextLines(path, compression_of(path), options.encoding)
    else:
        reader = open_records(path, options)
    for number, raw in reader:
        place = reader.place(number)
        try:
            record = reader.parse(raw)
            if is_text and isinstance(record, Mapping):
                record = _from_line(str(record["text"]), is_first=number == 1)
            if record is None:
                continue  # the names of the columns
            if not isinstance(record, Mapping):
                raise InvalidRequestError("a judgement must be an object")
            for query_id, doc_id, grade in _of_record(record):
                yield place, query_id, doc_id, grade
        except FileError:
            raise
        except InvalidRequestError as error:
            raise FileError(f"{path}, {place}: {error.message}") from None


def _from_line(line: str, *, is_first: bool) -> dict[str, Any] | None:
    cells = line.split("\t") if "\t" in line else line.split()
    cells = [cell.strip() for cell in cells]
    names = _COLUMNS.get(len(cells))
    if names is None:
        raise InvalidRequestError(f"a judgement has 4 fields (query, 0, document, grade) or 3, got {len(cells)}")
    record = dict(zip(names, cells))
    if is_first and not _is_number(record["grade"]):
        return None
    return record


def _is_number(text: object) -> bool:
    try:
        return -1e9 < float(text) < 1e9  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _of_record(record: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    query, document, grade = find(record, PAIR_ID), find(record, DOC_ID), find(record, _GRADE)
    if query is not None and document is not None:
        value = 1 if grade is None else record[grade]
        if not _is_number(value):
            raise InvalidRequestError(f"{grade} must be a number")
        yield str(clean_id(record[query], query)), str(clean_id(record[document], document)), float(value)
        return
    pairs = [(name, inner) for name, inner in record.items() if isinstance(inner, Mapping)]
    if len(pairs) != len(record) or not pairs:
        raise InvalidRequestError(
            f"a judgement must have a query id, a document id and a grade, got {', '.join(record)}"
        )
    for name, inner in pairs:  # {query: {document: grade}}
        for doc_id, value in inner.items():
            if not _is_number(value):
                raise InvalidRequestError("a grade must be a number")
            yield str(name), str(doc_id), float(value)
