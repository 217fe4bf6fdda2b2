"""Read retrieval files as rows, each a query with its documents: the one reader of jobs, evaluation and commands."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from cohere_rerank.errors import InvalidRequestError

from .cells import clean_id, text_of
from .database import Database
from .documents import read_document
from .errors import FileError
from .names import DOC_ID, DOCUMENTS, PAIR_ID, QUERY, ROW_ID, TEXT, find, get_path, plain
from .opening import open_records
from .options import ReadOptions
from .readers import Items, Reader, RunObject, TextLines, is_run_object
from .shapes import FileRow, Pair, Shape, recognize
from .sources import find_files, first_line
from .tables import Table

__all__ = ["RowReader", "as_float32", "open_rows", "read_rows", "trec_order"]

_N_TRIED = 20  # records that are looked at for the shape: the first ones may be broken
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def read_rows(paths: Paths, options: ReadOptions | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of retrieval files, for example for ``client.rerank_many``.

    Args:
        paths: A file, a folder, or several of them. JSON Lines, JSON, CSV and other tables, Parquet, Arrow IPC or runs
            of TREC, also compressed. Rows may be lists of documents or pairs of a query and a document.
        options: How the files are read. Default: everything is detected.

    Yields:
        A dictionary with ``id``, ``query`` and ``documents``, and with the other arguments of ``rerank`` that the row
        sets. The id is the number of the row if the file has none.

    Raises:
        FileError: The files cannot be read, or their shape is not known. It is raised before the first row.
        InvalidRequestError: A row is broken. The message names the file and the row.
    """
    with closing(open_rows(paths, options or ReadOptions())) as reader:
        reader.prepare()
        for number, raw in reader:
            try:
                row = reader.parse(raw)
            except InvalidRequestError as error:
                raise InvalidRequestError(f"{reader.full_place(number)}: {error.message}") from None
            yield {
                "id": number if row.id is None else row.id,
                "query": row.query,
                "documents": row.documents,
                **row.arguments,
            }


def open_rows(paths: Paths, options: ReadOptions) -> RowReader:
    """Return the reader for the rows of files.

    Raises:
        FileError: A file cannot be opened, or its shape is not known.
        ImportError: A format needs an extra that is not installed.
    """
    listed = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    files = find_files(listed)
    if not files:
        raise FileError("there is no input: pass at least one file")
    readers = [open_records(file, options) for file in files]
    readers = [_unwrapped(reader, options) for reader in readers]
    shapes = [_shape_of(reader, options) for reader in readers]
    known = [shape for shape in shapes if shape is not None]
    if not known:
        return _ListRows(readers, [None] * len(readers), options)
    kinds = {shape.kind for shape in known}
    if len(kinds) > 1:
        raise FileError(
            f"{files[0]} and other files have different shapes ({' and '.join(sorted(kinds))}); read them one by one"
        )
    rows: RowReader = (
        _ListRows(readers, shapes, options) if kinds == {"lists"} else _GroupedRows(readers, shapes, options)
    )
    for reader, shape in zip(readers, shapes):
        sentences = [*reader.notes, *([shape.describe()] if shape is not None and shape.name else [])]
        if sentences and (len(readers) == 1 or len(rows.notes) < 1):
            rows.notes.append(f"{reader.path}: {'; '.join(sentences)}")
    return rows


_CONTAINERS = ("responses", "data", "rows", "records", "items", "examples", "queries", "requests")


def _unwrapped(reader: Reader[Any], options: ReadOptions) -> Reader[Any]:
    """Return a reader of the rows inside of the records, if the records are only containers of rows."""
    for _, raw in islice(reader, 1):
        try:
            record = reader.parse(raw)
        except InvalidRequestError:
            return reader
        if not reader.is_table and is_run_object(record):
            return RunObject(reader)
        name = find(record, _CONTAINERS) if isinstance(record, Mapping) and not reader.is_table else None
        if isinstance(record, Mapping) and name is not None and _is_list_of_objects(record[name]):
            try:
                recognize(record, options, is_table=False)
            except InvalidRequestError:
                return Items(reader, name)
    return reader


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value[:_N_TRIED])


def _shape_of(reader: Reader[Any], options: ReadOptions) -> Shape | None:
    """Return the shape of a file, or None if it is empty or its first records are of no use.

    Raises:
        FileError: The first record has no known shape or is not UTF-8, or all of the first records are broken.
    """
    refused: str | None = None
    n_records = 0
    for number, raw in islice(reader, _N_TRIED):
        n_records += 1
        try:
            record = reader.parse(raw)
        except InvalidRequestError as error:
            refused = refused or f"{reader.path}, {reader.place(number)}: {error.message}"
            if "not UTF-8" in error.message and (reader.is_table or n_records == 1):
                raise FileError(refused) from None
            continue
        if not isinstance(record, Mapping):
            continue
        try:
            return recognize(record, options, is_table=reader.is_table)
        except InvalidRequestError as error:
            if refused is None:
                raise FileError(f"{reader.path}, {reader.place(number)}: {error.message}") from None
    if refused is not None:
        raise FileError(refused)
    if not n_records and isinstance(reader, Table) and reader.names:
        _check_names(reader, options)
    return None


def _check_names(reader: Table, options: ReadOptions) -> None:
    """Check the names of a table that has no rows.

    Raises:
        FileError: Rows with these names would have no known shape.
    """
    record = {name: "[]" if plain(name) in DOCUMENTS else "x" for name in reader.names if name}
    try:
        recognize(record, options, is_table=True)
    except InvalidRequestError as error:
        raise FileError(f"{reader.path}, line 1: {error.message}") from None


class RowReader:
    """An iterator over the rows of files. `parse` reads one of them.

    Attributes:
        word: What the number of a row counts: ``"line"`` or ``"row"``.
        notes: What was detected and a user should know, one sentence each.
        paths: The files that are read, with those that are joined.
        is_grouped: Whether a row is made of records at several places. Then an appended record may change any row.
    """

    word = "row"
    is_grouped = False

    def __init__(self, readers: Sequence[Reader[Any]], shapes: Sequence[Shape | None], options: ReadOptions) -> None:
        self._readers = readers
        self._shapes = list(shapes)
        self._options = options
        self._database: Database | None = None
        self.notes: list[str] = []
        joined = [Path(path) for path in (options.corpus, options.queries) if path is not None]
        self.paths = [*(reader.path for reader in readers), *joined]

    def prepare(self) -> None:
        """Read what is needed before the first row: queries, a corpus, and pairs that are grouped.

        Raises:
            FileError: A file is broken.
        """
        if self._options.queries is not None and self._database is None:
            self._database = Database()
            _read_queries(self._database, Path(self._options.queries), self._options)

    def close(self) -> None:
        """Close the files and delete the temporary database."""
        for reader in self._readers:
            reader.close()
        if self._database is not None:
            self._database.close()

    def fraction(self) -> float:
        """Return how much has been read, from 0.0 to 1.0."""
        return sum(reader.fraction() for reader in self._readers) / len(self._readers)

    def max_row(self) -> int:
        """Return an upper bound of the row numbers."""
        return sum(reader.max_row() for reader in self._readers)

    def place(self, number: int) -> str:
        """Return how an error message names a row, such as ``"line 7"``."""
        return f"{self.word} {number}"

    def full_place(self, number: int) -> str:
        """Return the place with the name of the file."""
        return f"{self._readers[0].path}, {self.place(number)}"

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        raise NotImplementedError

    def parse(self, raw: Any) -> FileRow:
        """Parse a raw row.

        Raises:
            InvalidRequestError: It is broken.
        """
        raise NotImplementedError


class _ListRows(RowReader):
    """Rows of a query and its documents, from files one after another."""

    def __init__(self, readers: Sequence[Reader[Any]], shapes: Sequence[Shape | None], options: ReadOptions) -> None:
        super().__init__(readers, shapes, options)
        self.word = readers[0].word
        self._starts = [0]  # how many numbers the files before have
        self._n_rows = 0

    def place(self, number: int) -> str:
        """Return how an error message names a row. With several files, it names the file too."""
        if len(self._readers) == 1:
            return self._readers[0].place(number)
        index = min(bisect_right(self._starts, number - 1), len(self._readers)) - 1
        return f"{self._readers[index].path}, {self._readers[index].place(number - self._starts[index])}"

    def full_place(self, number: int) -> str:
        """Return the place with the name of the file."""
        place = self.place(number)
        return place if len(self._readers) > 1 else f"{self._readers[0].path}, {place}"

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        self._starts = [0]
        position = 0
        for index, reader in enumerate(self._readers):
            number = last = self._starts[-1]
            for number, raw in reader:
                last = self._starts[index] + number
                position += 1
                yield last, (index, position, raw)
            self._starts.append(last)

    def parse(self, raw: Any) -> FileRow:
        """Parse a raw row."""
        index, position, content = raw
        reader, shape = self._readers[index], self._shapes[index]
        record = reader.parse(content)
        if not isinstance(record, Mapping):
            types: dict[type, str] = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
            kind = types.get(type(record), "a number")
            raise InvalidRequestError(f"a row must be an object with query and documents, got {kind}")
        if shape is None:
            shape = self._shapes[index] = recognize(record, self._options, is_table=reader.is_table)
        row: FileRow = shape.read(record)
        if row.query is None and not shape.has_query:
            row = _with_query(row, self._query(row, position))
        return row

    def _query(self, row: FileRow, position: int) -> str:
        assert self._database is not None
        found = None if row.id is None else self._database.query(str(row.id))
        found = self._database.query_at(position) if found is None else found
        if found is None:
            raise InvalidRequestError(f"{self._options.queries} has no query for this row")
        return found


def _with_query(row: FileRow, query: str) -> FileRow:
    return replace(row, query=query)


class _GroupedRows(RowReader):
    """Pairs of a query and a document, grouped by query over all files, in the order of the first pair of each query.

    All pairs are read before the first row, into a temporary database on the disk. Pairs of a query need therefore not
    follow one another. A broken pair refuses the whole input, because its query is not known.
    """

    is_grouped = True

    def __init__(self, readers: Sequence[Reader[Any]], shapes: Sequence[Shape | None], options: ReadOptions) -> None:
        super().__init__(readers, shapes, options)
        self._n_read = 0
        self._checked: tuple[int, Any] = (0, None)  # the last query that was compared
        is_run = any(shape is not None and shape.kind == "run" for shape in shapes)
        self._is_run = is_run and options.corpus is not None
        self._is_ids_only = is_run and options.corpus is None

    def prepare(self) -> None:
        """Read and group all pairs, and the texts of a run."""
        super().prepare()
        if self._database is not None and self._database.n_groups:
            return
        self._database = self._database or Database()
        for reader, shape in zip(self._readers, self._shapes):
            for number, raw in reader:
                try:
                    record = reader.parse(raw)
                    if not isinstance(record, Mapping) or shape is None:
                        raise InvalidRequestError("a row must be an object")
                    self._add(shape.read(record))
                except FileError:
                    raise
                except InvalidRequestError as error:
                    raise FileError(f"{reader.path}, {reader.place(number)}: {error.message}") from None
        self._database.finish_pairs()
        if self._is_run:
            self._read_corpus(self._database)

    def _add(self, pair: Pair) -> None:
        assert self._database is not None
        head = {"id": pair.query_id, "query": pair.query, "kept": pair.kept}
        document = pair.document
        data = [document.content, document.id, document.score, pair.rank, pair.grade]
        key = str(document.id) if self._is_run else None
        number, is_new = self._database.add_pair(f"{pair.key}", head, key, data)
        if not is_new and pair.query_id is not None and pair.query is not None:
            self._check_query(number, pair)

    def _check_query(self, number: int, pair: Pair) -> None:
        assert self._database is not None
        if self._checked == (number, pair.query):
            return
        self._checked = (number, self._database.head(number)["query"])
        if self._checked[1] not in (None, pair.query):
            raise InvalidRequestError(f"the query with the id {pair.query_id!r} has another text than before")

    def _read_corpus(self, database: Database) -> None:
        path = Path(self._options.corpus or "")
        for doc_id, content in _read_texts(path, self._options, "corpus"):
            database.add_content(str(doc_id), content)
        n_missing, n_documents, example = database.missing()
        if n_missing == n_documents:
            raise FileError(
                f"{path}: none of the {n_documents:,} documents of the run is in it, such as {example!r}; "
                "--document-id-field names the field of the id"
            )
        if n_missing:
            self.notes.append(f"{path}: {n_missing:,} of {n_documents:,} documents are missing, such as {example!r}")

    def fraction(self) -> float:
        """Return how much has been read, from 0.0 to 1.0."""
        n = 0 if self._database is None else self._database.n_groups
        return min(self._n_read / n, 1.0) if n else 1.0

    def max_row(self) -> int:
        """Return the number of queries."""
        self.prepare()
        assert self._database is not None
        return max(self._database.n_groups, 1)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        self.prepare()
        assert self._database is not None
        for number in range(1, self._database.n_groups + 1):
            self._n_read = number
            yield number, number

    def parse(self, raw: Any) -> FileRow:
        """Return a query with its documents."""
        assert self._database is not None
        head = self._database.head(raw)
        documents, ids, places, grades = [], [], [], []
        for (content, doc_id, score, rank, grade), found in self._database.pairs(raw):
            if self._is_run and found is None:
                name = self._options.corpus
                raise InvalidRequestError(f"the document {doc_id!r} of the query {head['id']!r} is not in {name}")
            documents.append(found if self._is_run else doc_id if self._is_ids_only else content)
            ids.append(doc_id)
            places.append((score, rank))
            grades.append(grade)
        query = head["query"]
        if query is None and self._options.queries is not None:
            query = self._database.query(str(head["id"]))
            if query is None:
                raise InvalidRequestError(f"the query {head['id']!r} is not in {self._options.queries}")
        return FileRow(
            head["id"],
            str(head["id"]) if query is None and self._is_ids_only else query,
            documents,
            ids if any(each is not None for each in ids) else None,
            grades if any(each is not None for each in grades) else None,
            ranking=trec_order(places, ids),
            kept=head["kept"],
        )


def trec_order(places: Sequence[tuple[float | None, float | None]], ids: Sequence[object]) -> list[int] | None:
    """Return the documents of a query in the order of trec_eval: by score, and equal scores by id, both downwards.

    Scores are compared as 32-bit numbers, as trec_eval holds them. Without scores, the ranks say the order.

    Args:
        places: The score and the rank of each document.
        ids: The id of each document.

    Returns:
        Indices, or None if there are neither scores nor ranks.
    """
    indices = list(range(len(places)))
    if all(score is not None for score, _ in places):
        indices.sort(key=lambda index: str(ids[index]), reverse=True)
        indices.sort(key=lambda index: as_float32(places[index][0] or 0.0), reverse=True)
        return indices
    if all(rank is not None for _, rank in places):
        return sorted(indices, key=lambda index: places[index][1] or 0.0)
    return None


def as_float32(value: float) -> float:
    """Return the nearest 32-bit number."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return value


def _read_queries(database: Database, path: Path, options: ReadOptions) -> None:
    n = 0
    for n, (query_id, query) in enumerate(_read_texts(path, options, "queries"), start=1):
        database.add_query(str(n) if query_id is None else str(query_id), n, query)
    if not n:
        raise FileError(f"{path}: it has no query")


def _read_texts(path: Path, options: ReadOptions, use: str) -> Iterator[tuple[str | int | None, Any]]:
    """Yield the id and the text of each record of a corpus or of a file of queries."""
    defaults = ReadOptions(encoding=options.encoding)
    files = find_files([path])
    for file in files:
        reader = _open_texts(file, defaults, use)
        fields: tuple[str | None, str | None] | None = None
        for number, raw in reader:
            try:
                record = reader.parse(raw)
                if not isinstance(record, Mapping):
                    raise InvalidRequestError("it must be an object")
                fields = fields or _text_fields(record, options, use)
                yield _text_record(record, fields, use)
            except FileError:
                raise
            except InvalidRequestError as error:
                raise FileError(f"{file}, {reader.place(number)}: {error.message}") from None


def _open_texts(file: Path, options: ReadOptions, use: str) -> Reader[Any]:
    if use == "queries" and file.suffix.lower() in (".txt", "") and b"\t" not in first_line(file):
        return TextLines(file, None, options.encoding)
    reader = open_records(file, options)
    if isinstance(reader, Table):
        reader.is_collection = True
    return reader


def _text_fields(record: Mapping[str, Any], options: ReadOptions, use: str) -> tuple[str | None, str | None]:
    if use == "corpus":
        names = options.document_id_field, options.text_field
        id_name = names[0] if names[0] in record else find(record, (*DOC_ID, *ROW_ID))
        text = names[1] if names[1] in record else find(record, TEXT)
    else:
        id_name = options.id_field if options.id_field in record else find(record, (*PAIR_ID, *ROW_ID))
        text = options.query_field if options.query_field in record else find(record, (*QUERY, *TEXT, "title"))
    if text is None or (id_name is None and use == "corpus"):
        raise InvalidRequestError(f"the {use} must have an id and a text, but it has {', '.join(map(str, record))}")
    return id_name, text


def _text_record(
    record: Mapping[str, Any], fields: tuple[str | None, str | None], use: str
) -> tuple[str | int | None, Any]:
    id_name, text = fields
    found_id = None if id_name is None else clean_id(get_path(record, id_name), id_name)
    value = text_of(text or "", get_path(record, text or ""))
    if use == "queries":
        if not isinstance(value, str):
            raise InvalidRequestError(f"{text} must be a text")
        return found_id, value
    if found_id is None:
        raise InvalidRequestError(f"the document has no {id_name}")
    kept = {name: each for name, each in record.items() if name != id_name}
    content = read_document({name: kept[name] for name in kept if find((name,), ("title", *TEXT)) or name == text})
    return found_id, content.content
