"""How retrieval files are read: their format, their fields, and the files that are joined."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

from cohere_rerank.errors import InvalidRequestError

__all__ = ["FORMATS", "ReadOptions"]

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "arrow", "trec")
_TEXT_FIELDS = ("query", "query_field", "documents_field", "text_field", "id_field", "document_id_field")


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How retrieval files are read. Every value is optional: names, shapes and delimiters are detected.

    A field is a name, or a dotted path such as ``node.text``.

    Attributes:
        format: ``"jsonl"``, ``"json"``, ``"csv"``, ``"tsv"``, ``"parquet"``, ``"arrow"`` or ``"trec"``. None: by the
            ending of the name, else by the first bytes.
        encoding: The encoding of text, such as ``"cp1252"``. None: UTF-8, or UTF-16 and UTF-32 with a byte order mark.
        delimiter: One character between the cells of a table. None: detected from the first line.
        quotes: Whether cells of a table may be in double quotes. None: detected for tabs, else True.
        header: Whether the first line of a table has the names of its columns. None: detected.
        columns: The names of the columns of a table without a header.
        query: One query for all documents or rows, which have none of their own.
        query_field: The field of the query.
        documents_field: The field of the list of documents.
        text_field: The field of the text, in files with one document in each row.
        id_field: The field of the row's or the query's id.
        document_id_field: The field of the id in a document.
        corpus: A file of documents with ids, for a run that has only ids.
        queries: A file of queries with ids, for rows that have only the id of a query. Rows without an id get the
            queries in the order of the file.
        keep: Fields of the input that are copied to the output.
        has_raw_documents: Whether documents stay objects, because ``rank_fields`` chooses their fields.
        is_ids_only: Whether a run is read without the texts of its documents, for an evaluation of the run itself.

    Raises:
        InvalidRequestError: A value has the wrong type or is not known.
    """

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quotes: bool | None = None
    header: bool | None = None
    columns: Sequence[str] = ()
    query: str | None = None
    query_field: str | None = None
    documents_field: str | None = None
    text_field: str | None = None
    id_field: str | None = None
    document_id_field: str | None = None
    corpus: str | PathLike[str] | None = None
    queries: str | PathLike[str] | None = None
    keep: Sequence[str] = ()
    has_raw_documents: bool = False
    is_ids_only: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InvalidRequestError(f"format must be one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.encoding is not None:
            _check_encoding(self.encoding)
        delimiter: object = self.delimiter
        if delimiter is not None and not (isinstance(delimiter, str) and len(delimiter) == 1):
            raise InvalidRequestError(f"delimiter must be one character, got {self.delimiter!r}")
        for name in _TEXT_FIELDS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise InvalidRequestError(f"{name} must be a text that is not blank, got {value!r}")
        for name in ("columns", "keep"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(isinstance(each, str) and each for each in names):
                raise InvalidRequestError(f"{name} must be a list of names, got {names!r}")
            object.__setattr__(self, name, tuple(names))
        if self.columns and self.header:
            raise InvalidRequestError("columns names the columns of a table without a header; leave out header=True")

    def as_dict(self) -> Mapping[str, Any]:
        """Return the values that differ from the defaults, as JSON values. Paths are without their folders."""
        plain: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in (field.default, ()):
                is_path = field.name in ("corpus", "queries")
                plain[field.name] = Path(value).name if is_path else list(value) if isinstance(value, tuple) else value
        return plain


def _check_encoding(encoding: object) -> None:
    try:
        info = codecs.lookup(encoding)  # type: ignore[arg-type]
        is_text = info._is_text_encoding  # as TextIOWrapper checks it: there are codecs for zip and hex
    except (LookupError, TypeError, ValueError):
        is_text = False
    if not is_text:
        raise InvalidRequestError(f"encoding must be one that Python knows, such as cp1252, got {encoding!r}")
