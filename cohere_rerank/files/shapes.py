"""The shapes of retrieval results, recognized by the names of their fields. Pure.

`recognize` looks at one record and returns a `Shape`, which reads all records of the file. A record is a list (a query
with its documents), a pair (a query with one document), or a line of a run (ids only).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cohere_rerank.errors import InvalidRequestError

from .cells import ARGUMENT_EXAMPLES, argument_from_text, clean_id, list_from_text, plain_json, text_of, type_name
from .documents import Document, read_document
from .names import (
    DOC_ID,
    DOCUMENTS,
    GRADE,
    NEGATIVES,
    PAIR_ID,
    QUERY,
    RANK,
    ROW_ID,
    SCORE,
    TEXT,
    TITLE,
    find,
    get_path,
    plain,
)
from .options import ReadOptions

__all__ = ["FileRow", "Pair", "Shape", "recognize"]

_Record = Mapping[str, Any]
_POSITIVE_GRADE = 1.0


@dataclass(frozen=True, slots=True)
class FileRow:
    """A query with its documents, as a file has them.

    Attributes:
        id: The id of the row or the query. None: it has none.
        query: The query, or None.
        documents: The documents, in their order in the file. None: the row has none.
        document_ids: An id or None for each document. None: no document has an id.
        grades: The grade of each document by the shape of the file, or None.
        labels: Fields of the row that may say which documents are relevant, by their plain names.
        ranking: The documents in the order of the retrieval, as indices. None: as they are.
        arguments: The other fields of the row, which may be arguments of ``rerank``.
        kept: The fields that the output repeats.
        is_native: Whether ``arguments`` must be arguments of ``rerank``.
    """

    id: Any
    query: Any
    documents: Any
    document_ids: Sequence[str | int | None] | None = None
    grades: Sequence[Any] | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    ranking: Sequence[int] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    is_native: bool = False

    def __repr__(self) -> str:  # never the query or the documents
        return f"<FileRow {self.id!r}>"


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with one document, or the ids of both.

    Attributes:
        key: What groups the pairs: the id of the query, or its text.
        query_id: The id of the query, or None.
        query: The query, or None.
        document: The document. Its content is None in a run.
        grade: The grade of the document, or None.
        rank: Its rank, or None.
        kept: The fields that the output repeats. Those of the first pair of a query count.
    """

    key: str | int
    query_id: str | int | None
    query: Any
    document: Document
    grade: Any = None
    rank: float | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """How the records of a file are read.

    Attributes:
        kind: ``"lists"``, ``"pairs"`` or ``"run"``.
        name: The name of the shape, such as ``"RAGAS 0.2"``. Empty for the own format of this package.
        fields: The fields that are read, for a message.
        read: Reads one record.
        has_query: Whether the records have a query.
    """

    kind: str
    name: str
    fields: str
    read: Callable[[_Record], Any]
    has_query: bool = True

    def describe(self) -> str:
        """Return one sentence for the user. Empty for the own format of this package."""
        return f"read as {self.name} ({self.fields})" if self.name else ""


def recognize(record: _Record, options: ReadOptions, *, is_table: bool) -> Shape:
    """Return the shape of a record.

    Args:
        record: The first record of a file.
        options: Fields that the user named.
        is_table: Whether a list may be text in a cell.

    Raises:
        InvalidRequestError: The shape is not known. The message lists the names, what is missing, and an option.
    """
    reader = _Recognizer(record, options, is_table)
    reader.check_rows()
    for attempt in (
        reader.explicit,
        reader.native,
        reader.batch_request,
        reader.search_reply,
        reader.candidates,
        reader.positives_and_negatives,
        reader.lists,
        reader.pairs,
        reader.run,
    ):
        shape = attempt()
        if shape is not None:
            return shape
    raise InvalidRequestError(_refusal(record, options))


def _refusal(record: _Record, options: ReadOptions) -> str:
    names = ", ".join(map(str, list(record)[:12])) + (", ..." if len(record) > 12 else "")
    has_query = find(record, QUERY) is not None or options.query is not None or options.query_field is not None
    has_text = find(record, (*TEXT, *DOCUMENTS)) is not None
    if not has_query and has_text:
        problem, advice = "a query is missing", "--query-field NAME, --query TEXT or --queries FILE"
    elif not has_query:
        problem, advice = "a query and documents are missing", "--query-field NAME and --documents-field NAME"
    else:
        problem, advice = (
            "documents are missing",
            "--documents-field NAME for a list, or --text-field NAME for one text",
        )
    inside = [
        f"{outer}.{name}"
        for outer, value in record.items()
        if isinstance(value, Mapping)
        for name in value
        if plain(str(name)) in (*DOCUMENTS, *TEXT, *QUERY)
    ]
    example = f", such as {', '.join(inside[:3])}" if inside else ""
    return f"the row has {names or 'no fields'}; {problem}: add {advice}{example}"


class _Recognizer:
    def __init__(self, record: _Record, options: ReadOptions, is_table: bool) -> None:
        self._record = record
        self._options = options
        self._is_table = is_table
        self._read = _FieldReader(options, is_table)

    def check_rows(self) -> None:
        """Check that the record is a row, and not a table with all rows in its columns.

        Raises:
            InvalidRequestError: It is a table.
        """
        query, documents = find(self._record, QUERY), find(self._record, (*DOCUMENTS, *TEXT))
        values = [self._record[name] for name in (query, documents) if name is not None]
        is_columns = all(isinstance(value, list) for value in values) or all(
            isinstance(value, Mapping) and "0" in value for value in values
        )
        if len(values) == 2 and is_columns and not self._is_table:
            raise InvalidRequestError(
                f"{query} and {documents} are columns, and not a row: write one object for each row, as "
                "orient='records' does in pandas; no option reads columns"
            )

    def _query_name(self) -> str | None:
        name = self._options.query_field or find(self._record, QUERY)
        return name if name is not None and get_path(self._record, name) is not None else None

    def _has_query(self, name: str | None) -> bool:
        return name is not None or self._options.query is not None or self._options.queries is not None

    def _is_list(self, value: object) -> bool:
        is_text = self._is_table and isinstance(value, str) and value.lstrip().startswith(("[", "("))
        return is_text or isinstance(value, (list, tuple))

    def explicit(self) -> Shape | None:
        """The fields that the user named."""
        options = self._options
        if options.documents_field is None and options.text_field is None:
            return None
        name = options.documents_field or options.text_field or ""
        query = self._query_name()
        value = get_path(self._record, name)
        if value is None and options.documents_field is None:
            return self.lists()  # the text is a field of each document
        if value is None or not self._has_query(query):
            return None
        if options.documents_field is not None:
            return self._read.list_shape("lists of documents", query, name)
        return self._read.pair_shape("pairs of a query and a document", self._record, query, name)

    def native(self) -> Shape | None:
        """The own format: query, documents and arguments of rerank."""
        record = self._record
        has_fields = "query" in record and "documents" in record and not isinstance(record["query"], Mapping)
        if has_fields and self._options.query_field is None:
            return Shape("lists", "", "query and documents", self._read.native)
        return None

    def batch_request(self) -> Shape | None:
        """Batch files of OpenAI, vLLM and Voyage."""
        body = self._record.get("body", self._record.get("params"))
        if isinstance(body, Mapping):
            query, documents = find(body, (*QUERY, "text1")), find(body, (*DOCUMENTS, "text2"))
            if query and documents and self._is_list(body[documents]):
                path = "body" if "body" in self._record else "params"
                return self._read.list_shape(
                    "batch requests", f"{path}.{query}", f"{path}.{documents}", top_n=f"{path}"
                )
        return None

    def search_reply(self) -> Shape | None:
        """Replies of Elasticsearch and OpenSearch."""
        hits = get_path(self._record, "hits.hits")
        query = self._query_name()
        if isinstance(hits, list):
            if not self._has_query(query):
                raise InvalidRequestError(
                    "the replies of a search engine have documents (hits.hits) and no query: add --queries FILE, with "
                    "one query for each reply, or --query TEXT"
                )
            return self._read.list_shape("replies of a search engine", query, "hits.hits")
        return None

    def candidates(self) -> Shape | None:
        """Requests of rank_llm: the query is an object."""
        query = self._record.get("query")
        name = find(self._record, DOCUMENTS)
        if isinstance(query, Mapping) and name and self._is_list(self._record[name]):
            text = find(query, (*TEXT, *QUERY))
            if text is not None:
                label = "rank_llm requests" if plain(name) == "candidates" else "lists of documents"
                return self._read.list_shape(label, f"query.{text}", name)
        return None

    def positives_and_negatives(self) -> Shape | None:
        """Training data: positives first, then negatives."""
        query = self._query_name()
        if query is None:
            return None
        for label, positive in _TRAINING_SHAPES:
            first = find(self._record, (positive,))
            if first is not None:
                others = [name for name in self._record if plain(str(name)).rstrip("0123456789") in NEGATIVES]
                return self._read.training_shape(label, query, first, others)
        return None

    def lists(self) -> Shape | None:
        """A query with a list of documents under other names."""
        query, record = self._query_name(), self._record
        lists = [name for name in record if plain(str(name)) in DOCUMENTS and self._is_list(record[name])]
        if not lists or not self._has_query(query):
            return None
        name = min(lists, key=lambda each: DOCUMENTS.index(plain(each)))
        label = _LIST_LABELS.get((plain(query or ""), plain(name)), "lists of documents")
        return self._read.list_shape(label, query, name)

    def pairs(self) -> Shape | None:
        """Rows of a query and one document."""
        query, record = self._query_name(), self._record
        text = next((n for n in [find(record, (name,)) for name in TEXT] if n and not self._is_list(record[n])), None)
        if text is None and (node := next((n for n in ("node", "_source", "kwargs") if n in record), None)):
            text = node if isinstance(record[node], Mapping) else None
        has_id = self._options.queries is not None and find(record, PAIR_ID) is not None
        if text is None or text == query or not (query is not None or self._options.query is not None or has_id):
            return None
        return self._read.pair_shape("pairs of a query and a document", record, query, text)

    def run(self) -> Shape | None:
        """Ids of queries and documents without texts."""
        record, options = self._record, self._options
        query_id = options.id_field or find(record, PAIR_ID)
        doc_id = options.document_id_field or find(record, DOC_ID)
        if query_id is None or doc_id is None or query_id == doc_id:
            return None
        if options.is_ids_only and options.corpus is None:
            return self._read.pair_shape("a run", record, self._query_name(), None)
        if options.corpus is None:
            need_queries = "" if self._query_name() or options.queries else " and --queries FILE"
            raise InvalidRequestError(
                f"a run has ids ({query_id}, {doc_id}) and no texts: add --corpus FILE{need_queries}"
            )
        if options.queries is None and self._query_name() is None:
            raise InvalidRequestError(f"a run has the ids of queries ({query_id}) and no texts: add --queries FILE")
        return self._read.pair_shape("a run", record, self._query_name(), None)


_TRAINING_SHAPES = (
    ("Tevatron and MIRACL lists", "positivepassages"),
    ("fine-tuning lists of Cohere", "relevantpassages"),
    ("FlagEmbedding lists", "pos"),
    ("sentence-transformers and MTEB lists", "positive"),
    ("sentence-transformers and MTEB lists", "positives"),
)
_LIST_LABELS = {
    ("question", "contexts"): "RAGAS 0.1",
    ("userinput", "retrievedcontexts"): "RAGAS 0.2",
    ("input", "context"): "LangChain results",
    ("query", "sourcedocuments"): "LangChain results",
    ("query", "sourcenodes"): "LlamaIndex responses",
    ("question", "ctxs"): "DPR lists",
}
_PARALLEL_IDS = ("documentids", "docids", "docnos", "pids", "ids", "passageids", "contextids", "retrievedcontextids")
_PARALLEL_GRADES = ("grades", "judgements", "judgments")
_LABELS = ("relevant", *_PARALLEL_GRADES)
_NOT_ARGUMENTS = frozenset((*_PARALLEL_IDS, *_LABELS, "labels", "scores", "ranks"))


class _FieldReader:
    """Reads rows and pairs from records, once the fields are known."""

    def __init__(self, options: ReadOptions, is_table: bool) -> None:
        self._options = options
        self._is_table = is_table

    def _kept(self, record: _Record) -> dict[str, Any]:
        names = self._options.keep
        return {name: plain_json(value) for name in names if (value := get_path(record, name)) is not None}

    def _list(self, name: str, value: object) -> object:
        if self._is_table and isinstance(value, str):
            return list_from_text(name, value)
        return value

    def _query(self, record: _Record, name: str | None) -> object:
        if name is None:
            return self._options.query
        return text_of(name, get_path(record, name))

    def _row_id(self, record: _Record, *, names: Sequence[str] = ROW_ID) -> str | int | None:
        if self._options.id_field is not None:
            return clean_id(get_path(record, self._options.id_field), self._options.id_field)
        name = find(record, names)
        if name is None and isinstance(query := record.get("query"), Mapping):
            name = find(query, names)
            return None if name is None else clean_id(query[name], name)
        return None if name is None else clean_id(record[name], name)

    def _documents(self, elements: Sequence[object]) -> tuple[list[object], list[str | int | None] | None]:
        options = self._options
        found = [
            read_document(
                element,
                text_field=options.text_field,
                id_field=options.document_id_field,
                is_raw=options.has_raw_documents,
            )
            for element in elements
        ]
        ids = [document.id for document in found]
        return [document.content for document in found], ids if any(each is not None for each in ids) else None

    def native(self, record: _Record) -> FileRow:
        """Read the own format. Unknown fields stay in the arguments."""
        skipped = {"query", "documents", self._options.id_field or "", *self._options.keep}
        arguments: dict[str, Any] = {}
        id_name = self._options.id_field or ("id" if "id" in record else find(record, ROW_ID))
        for name, value in record.items():
            if name in skipped or name == id_name or plain(str(name)) in _NOT_ARGUMENTS:
                continue
            is_cell = self._is_table and name in ARGUMENT_EXAMPLES and isinstance(value, str)
            arguments[name] = argument_from_text(name, value) if is_cell else value
        documents = self._list("documents", record.get("documents"))
        ids = self._parallel(record, _PARALLEL_IDS)
        if isinstance(documents, list):
            documents = [text_of("a document", each) for each in documents]
            if ids is None and self._options.text_field is None:
                ids = [_id_or_none(each) for each in documents]
            elif self._options.text_field is not None:
                documents, ids = self._documents(documents)
        return FileRow(
            None if id_name is None else clean_id(get_path(record, id_name), id_name),
            text_of("query", record.get("query")),
            documents,
            ids if ids and any(each is not None for each in ids) else None,
            labels=self._labels(record),
            arguments=arguments,
            kept=self._kept(record),
            is_native=True,
        )

    def _parallel(self, record: _Record, names: Sequence[str]) -> list[Any] | None:
        name = find(record, names)
        value = None if name is None else self._list(name, record[name])
        return [clean_id(each, name or "id") for each in value] if isinstance(value, (list, tuple)) else None

    def _labels(self, record: _Record) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in record.items():
            if plain(str(name)) in _LABELS and value is not None:
                is_cell = self._is_table and isinstance(value, str) and value.lstrip().startswith(("[", "("))
                found[name] = list_from_text(name, value) if is_cell else value
        return found

    def list_shape(self, label: str, query: str | None, documents: str, *, top_n: str | None = None) -> Shape:
        """Return the shape of rows with a query and a list of documents."""

        def read(record: _Record) -> FileRow:
            elements = self._list(documents, get_path(record, documents))
            if not isinstance(elements, (list, tuple)):
                raise InvalidRequestError(f"{documents} must be a list of documents, got {type_name(elements)}")
            contents, ids = self._documents(elements)
            parallel = self._parallel(record, _PARALLEL_IDS)
            return FileRow(
                self._row_id(record),
                self._query(record, query),
                contents,
                parallel if ids is None and parallel and len(parallel) == len(contents) else ids,
                labels=self._labels(record),
                arguments={} if top_n is None else _top_n(get_path(record, top_n)),
                kept=self._kept(record),
            )

        source = f"--query {self._options.query!r}" if self._options.query else "--queries"
        fields = f"query: {query or source}, documents: {documents}"
        return Shape("lists", label, fields, read, has_query=query is not None or self._options.query is not None)

    def training_shape(self, label: str, query: str, positive: str, negatives: Sequence[str]) -> Shape:
        """Return the shape of rows with positives and negatives. A value may be one text or a list."""

        def elements(record: _Record, name: str) -> list[object]:
            value = record.get(name)
            if self._is_table and isinstance(value, str) and value.lstrip().startswith("["):
                value = list_from_text(name, value)
            if value is None:
                return []
            return list(value) if isinstance(value, (list, tuple)) else [value]

        def read(record: _Record) -> FileRow:
            first = elements(record, positive)
            others = [each for name in negatives for each in elements(record, name)]
            contents, ids = self._documents([*first, *others])
            grades = [_POSITIVE_GRADE] * len(first) + [0.0] * len(others)
            row_id = self._row_id(record)
            return FileRow(row_id, self._query(record, query), contents, ids, grades, kept=self._kept(record))

        fields = f"query: {query}, documents: {', '.join([positive, *negatives])}"
        return Shape("lists", label, fields, read)

    def pair_shape(self, label: str, first: _Record, query: str | None, text: str | None) -> Shape:
        """Return the shape of rows with a query and one document, or of a run if *text* is None."""
        options = self._options
        query_id = options.id_field or find(first, PAIR_ID)
        doc_names = [name for name in DOC_ID if plain(query_id or "") != name]
        doc_id = options.document_id_field or find(first, doc_names)
        title = find(first, TITLE) if text is not None and options.text_field is None else None
        rank, grade, score = find(first, RANK), find(first, GRADE), find(first, SCORE)

        def read(record: _Record) -> Pair:
            number = None if query_id is None else clean_id(get_path(record, query_id), query_id)
            question = self._query(record, query)
            key = number if number is not None else question
            if key is None and query is None and options.queries is not None:
                key = 1
            if not isinstance(key, (str, int)):
                raise InvalidRequestError(f"the row has no {query_id or query or 'query'}")
            content: Any = None if text is None else self._pair_content(record, text, title)
            id_value = None if doc_id is None else get_path(record, doc_id)
            found_id = None if isinstance(id_value, (list, Mapping)) else clean_id(id_value, doc_id or "id")
            if isinstance(content, Document):
                content, found_id = content.content, content.id if found_id is None else found_id
            if text is None and found_id is None:
                raise InvalidRequestError(f"the row has no {doc_id}")
            document = Document(content, found_id, _as_number(record.get(score)) if score else None)
            place = _as_number(record.get(rank)) if rank else None
            return Pair(
                key, number, question, document, record.get(grade) if grade else None, place, self._kept(record)
            )

        asked = "one query for all rows" if options.query else f"query: {query or '--queries'}"
        found = "documents: --corpus" if text is None else f"document: {text}"
        grouped = f"{asked}, {found}, grouped by {query_id or query or 'nothing'}"
        return Shape("run" if text is None else "pairs", label, grouped, read)

    def _pair_content(self, record: _Record, text: str, title: str | None) -> object:
        if self._options.has_raw_documents:
            return dict(record)
        value = text_of(text, get_path(record, text))
        if value is None:
            return None  # as a blank text, it concerns only the row of its query
        if isinstance(value, Mapping):
            return read_document(dict(record))
        if not isinstance(value, str):
            raise InvalidRequestError(f"{text} must be a text, got {type_name(value)}")
        heading = record.get(title) if title is not None else None
        return {"title": heading, "text": value} if isinstance(heading, str) and heading.strip() else value


def _top_n(body: object) -> dict[str, Any]:
    """Return the number of results that a request asks for. Its model belongs to another API."""
    value = body.get("top_n", body.get("top_k")) if isinstance(body, Mapping) else None
    return {"top_n": value} if type(value) is int else {}


def _as_number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _id_or_none(document: object) -> str | int | None:
    try:
        return read_document(document).id
    except InvalidRequestError:
        return None
