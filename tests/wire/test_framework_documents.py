"""Documents as frameworks, vector stores and databases hold them: their text is sent, never their embeddings."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy
import pyarrow
import pytest

from cohere_rerank._wire.documents import to_texts
from cohere_rerank._wire.framework_documents import vector_paths, without_vectors
from cohere_rerank.errors import InvalidRequestError

VECTOR = [0.25] * 384
ARROW_STRUCT = pyarrow.struct({"title": pyarrow.string(), "n": pyarrow.int64()})  # old versions sort inferred names


@dataclass
class HaystackDocument:
    """The fields of haystack.Document."""

    id: str = "1"
    content: str | None = "tea"
    meta: dict = field(default_factory=lambda: {"page": 3})
    embedding: list = field(default_factory=lambda: VECTOR)


class Node:
    """The part of llama_index's TextNode and NodeWithScore that is used."""

    def __init__(self):
        self.embedding = VECTOR
        self.metadata = {"file": "a.txt"}

    def get_content(self):
        return "tea"


class Row:
    """The part of sqlalchemy's Row that is used."""

    def __init__(self, **fields):
        self._mapping = fields


class Example:
    """The part of dspy.Example that is used."""

    def __init__(self, **fields):
        self._store = fields

    def keys(self):
        return list(self._store)

    def __getitem__(self, key):
        return self._store[key]


class Hit:
    """The part of elasticsearch.dsl.Document and of its Hit that is used."""

    def __init__(self, **fields):
        self._fields_of_hit = fields
        self.meta = SimpleNamespace(id="1", score=2.5)

    def to_dict(self):
        return self._fields_of_hit


class Mapped:
    """The part of a mapped class of SQLAlchemy that is used."""

    __mapper__ = SimpleNamespace(column_attrs={"title": None, "n": None})

    def __init__(self, **fields):
        self.__dict__.update(fields, _sa_instance_state=object())


class Model:
    """The part of a model of Django that is used."""

    _meta = SimpleNamespace(concrete_fields=[SimpleNamespace(attname="title"), SimpleNamespace(attname="n")])

    def __init__(self, **fields):
        self.__dict__.update(fields, _state=object())


def sqlite_row():
    connection = sqlite3.connect(":memory:")
    try:
        connection.row_factory = sqlite3.Row
        return connection.execute("select 'tea' as title, 2 as n").fetchone()
    finally:
        connection.close()


TEXTS = {
    "langchain": SimpleNamespace(page_content="tea", metadata={"page": 3}, id="1", type="Document"),
    "langchain dict": {"id": "1", "metadata": {"page": 3}, "page_content": "tea", "type": "Document"},
    "langchain serialized": {"lc": 1, "type": "constructor", "kwargs": {"page_content": "tea", "metadata": {}}},
    "llama_index": Node(),
    "llama_index dict": {"id_": "1", "embedding": VECTOR, "metadata": {}, "text": "tea", "class_name": "TextNode"},
    "llama_index scored": {
        "node": {"id_": "1", "embedding": VECTOR, "metadata": {}, "text": "tea"},
        "score": 0.5,
        "class_name": "NodeWithScore",
    },
    "langchain with a score": (SimpleNamespace(page_content="tea", metadata={}), 0.7),
    "llama_index with a score": (Node(), numpy.float32(0.7)),
    "qdrant with fastembed": SimpleNamespace(id=1, embedding=VECTOR, metadata={}, document="tea", score=0.5),
    "haystack": HaystackDocument(),
    "haystack dict": {"id": "1", "content": "tea", "meta": {"page": 3}, "embedding": VECTOR},
    "haystack flat dict": {"id": "1", "content": "tea", "blob": None, "score": None, "embedding": VECTOR, "page": 3},
    "text with metadata": SimpleNamespace(text="tea", metadata={"page": 3}, vector=VECTOR),
    "arrow string": pyarrow.scalar("tea"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_only_the_text_of_a_framework_document_is_sent(name):
    """Ids, metadata, scores and embeddings stay behind."""
    documents, texts = to_texts([TEXTS[name]])
    assert texts == ["tea"]
    assert documents[0] is TEXTS[name]


FIELDS = {
    "elasticsearch": {"_index": "i", "_id": "1", "_score": 2.5, "_source": {"title": "tea", "n": 2, "vector": VECTOR}},
    "qdrant": SimpleNamespace(id=1, version=0, score=0.5, payload={"title": "tea", "n": 2}, vector=VECTOR),
    "qdrant dict": {"id": 1, "score": 0.5, "payload": {"title": "tea", "n": 2}, "vector": VECTOR},
    "weaviate": SimpleNamespace(uuid="1", properties={"title": "tea", "n": 2}, vector={"default": VECTOR}),
    "weaviate dict": {"uuid": "1", "properties": {"title": "tea", "n": 2}, "vector": {"default": VECTOR}},
    "vespa": {"id": "1", "relevance": 0.5, "fields": {"title": "tea", "n": 2, "embedding": {"values": VECTOR}}},
    "pinecone": {"id": "1", "score": 0.5, "values": VECTOR, "metadata": {"title": "tea", "n": 2}},
    "milvus": {"id": 1, "distance": 0.5, "entity": {"title": "tea", "n": 2, "vector": VECTOR}},
    "typesense": {"document": {"title": "tea", "n": 2}, "text_match": 3, "highlights": []},
    "elasticsearch get": SimpleNamespace(body={"_id": "1", "_source": {"title": "tea", "n": 2}}, meta=object()),
    "sqlalchemy": Row(title="tea", n=2),
    "sqlalchemy mapped": Mapped(title="tea", n=2),
    "django": Model(title="tea", n=2),
    "sqlite3": sqlite_row(),
    "dspy": Example(title="tea", n=2),
    "elasticsearch dsl": Hit(title="tea", n=2, vector=VECTOR),
    "arrow struct": pyarrow.scalar({"title": "tea", "n": 2}, ARROW_STRUCT),
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_payload_of_a_hit_or_row_is_sent_as_yaml(name):
    """What a vector store adds stays behind; a row of a database is a mapping."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [text] = to_texts([FIELDS[name]])[1]
    assert text.replace("embedding: {}\n", "") == "title: tea\nn: 2\n"


@pytest.mark.parametrize(
    "document",
    [
        {"text": "tea", "metadata": {"page": 3}},
        {"content": "tea", "id": 1},
        {"payload": {"a": 1}},
        {"fields": {"a": 1}, "id": 2},
        {"properties": {"a": 1}},
        {"metadata": {"a": 1}, "score": 2},
    ],
)
def test_an_ordinary_mapping_is_sent_whole(document):
    """A mapping that only looks a little like a framework's document keeps all of its fields."""
    assert all(name in to_texts([document])[1][0] for name in document)


class Tensor:
    """The part of a tensor of torch that is used: its items are tensors without a length."""

    def __init__(self, numbers):
        self._numbers = numbers

    def __len__(self):
        if isinstance(self._numbers, float):
            raise TypeError("len() of a 0-d tensor")
        return len(self._numbers)

    def __getitem__(self, index):
        return Tensor(self._numbers[index])

    def __float__(self):
        return self._numbers

    def tolist(self):
        return self._numbers


VECTORS = {
    "list": VECTOR,
    "tuple": tuple(VECTOR),
    "lists": [VECTOR, VECTOR],
    "numpy lists": numpy.zeros((2, 384), "f4"),
    **{f"numpy {kind}": numpy.zeros(384, kind) for kind in ("f8", "f4", "f2", "i1", "u8")},
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_long_list_of_numbers_is_reported(name):
    """It is named once in a call, with its length and what helps, and is sent as the caller asked."""
    document = {"text": "tea", "deep": {"vector": VECTORS[name]}}
    assert list(vector_paths({"vector": Tensor(VECTOR)})) == [("vector", 384)]
    assert without_vectors(document) == {"text": "tea", "deep": {}}
    with pytest.warns(
        UserWarning, match=r"document at index 1: the field 'deep.vector' is a list of 384 numbers"
    ) as seen:
        to_texts(["a", document, document])
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_texts([document], rank_fields=["text"])
        to_texts([document], text="text")


def test_short_lists_of_numbers_and_long_lists_of_texts_are_not_reported():
    """Only what looks like an embedding is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_texts([{"years": [1990, 2000], "tags": ["a"] * 100, "flags": [True] * 100, "a": {"b": [1.5] * 20}}])


class Lazy(Mapping):
    """A mapping of the caller's own class."""

    def __init__(self, **fields):
        self._fields = fields

    def __getitem__(self, key):
        return self._fields[key]

    def __iter__(self):
        return iter(self._fields)

    def __len__(self):
        return len(self._fields)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"body": "tea"}, "body"),
        ({"node": {"text": "tea"}}, "node.text"),
        ({"node.text": "tea", "node": {"text": "coffee"}}, "node.text"),
        (Lazy(node=Lazy(text="tea")), "node.text"),
        (SimpleNamespace(node=SimpleNamespace(text="tea")), "node.text"),
        ({"node": SimpleNamespace(text="tea")}, "node.text"),
        (TEXTS["langchain"], "page_content"),
        ({"a": 1}, lambda document: "tea"),
        (object(), lambda document: "tea"),
        ("tea", "body"),
    ],
)
def test_text_says_where_the_text_is(document, text):
    """A field's name, a dotted path or a function; strings are sent whole."""
    assert to_texts([document], text=text)[1] == ["tea"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": "body"}, "document at index 0 (of type dict) has no field 'body', which text= names"),
        ({"text": "title.words"}, "has no field 'title.words'"),
        ({"text": "n"}, "text= must lead to a string; for the document at index 0 it is of type int"),
        ({"text": lambda document: 3}, "text= must lead to a string"),
        ({"text": 5}, "text must be a field's name, a dotted path or a function of a document, got of type int"),
        ({"text": "title", "rank_fields": ["title"]}, "text and rank_fields are mutually exclusive"),
        ({"on_empty": "ignore"}, "on_empty must be 'error' or 'skip', got 'ignore'"),
    ],
)
def test_a_wrong_choice_of_text_is_refused(arguments, words):
    """With the argument, the place and what is allowed."""
    with pytest.raises(InvalidRequestError) as caught:
        to_texts([{"title": "tea", "n": 2}], **arguments)
    assert words in str(caught.value)


def test_rank_fields_may_be_dotted_paths():
    """They reach into nested mappings, and into the metadata of a framework's document."""
    assert to_texts([{"a": {"b": "x"}, "c": "y"}], ["a.b", "c"])[1] == ["a.b: x\nc: y\n"]
    assert to_texts([TEXTS["langchain dict"]], ["page_content", "metadata.page"])[1] == [
        "page_content: tea\nmetadata.page: 3\n"
    ]
    assert to_texts([FIELDS["elasticsearch"]], ["title"])[1] == ["title: tea\n"]


EMPTY = [
    "",
    " ",
    "\n\t\u3000",
    {"text": ""},
    {"a": None, "b": []},
    {"a": {"b": " "}},
    {},
    HaystackDocument(content=" "),
    SimpleNamespace(content=None, meta={"page": 3}, blob=b"an image", id="1"),  # Haystack
]


@pytest.mark.parametrize("document", EMPTY, ids=range(len(EMPTY)))
def test_one_rule_says_which_documents_are_empty(document):
    """A document without a text and without a field that has a value is empty, whatever its form."""
    with pytest.raises(InvalidRequestError, match="document at index 1 is empty"):
        to_texts(["tea", document])
    documents, texts = to_texts(["tea", document], on_empty="skip")
    assert texts == ["tea", ""]
    assert documents[1] is document


@pytest.mark.parametrize("missing", [None, float("nan"), numpy.float64("nan")])
def test_a_missing_value_of_a_column_can_be_skipped(missing):
    """As an empty document. Otherwise it is an error that names its place."""
    assert to_texts(["tea", missing], on_empty="skip")[1] == ["tea", ""]
    with pytest.raises(InvalidRequestError, match="document at index 1 is "):
        to_texts(["tea", missing])


@pytest.mark.parametrize("pair", [("tea", 0.5), ({"a": 1}, 0.5), (Node(), "x"), (Node(), Node()), (Node(),), ()])
def test_other_tuples_are_not_documents(pair):
    """Only a framework's document with its score is one."""
    with pytest.raises(InvalidRequestError, match="document at index 0 is of type tuple"):
        to_texts([pair])


class Response:
    """The response of a search, which holds its hits in an attribute."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


HITS = {"took": 1, "hits": {"total": 1, "hits": [FIELDS["elasticsearch"]]}}


@pytest.mark.parametrize(
    ("response", "inside"),
    [
        (HITS, "['hits']['hits']"),
        (Response(body=HITS, meta=object(), __iter__=None), "['hits']['hits']"),
        (Response(points=[FIELDS["qdrant"]]), ".points"),
        (Response(matches=[FIELDS["pinecone"]]), ".matches"),
        (Response(objects=[FIELDS["weaviate"]]), ".objects"),
        (Response(source_nodes=[Node()]), ".source_nodes"),
        ({"matches": [FIELDS["pinecone"]]}, "['matches']"),
        ({"documents": [HaystackDocument()]}, "['documents']"),
        ({"ids": [["1"]], "documents": [["tea"]], "metadatas": [[None]]}, "['documents'][0]"),  # Chroma
    ],
)
def test_a_whole_response_of_a_search_gets_advice(response, inside):
    """What leads to its documents. Iterating over a response of Elasticsearch would yield the names of its fields."""
    with pytest.raises(InvalidRequestError) as caught:
        to_texts(response)
    assert str(caught.value).endswith(f"; pass documents{inside}")


@pytest.mark.parametrize("document", [{"a": 0}, {"a": False}, {"text": "", "n": 1}, "\u200b"])
def test_a_document_with_a_value_is_not_empty(document):
    """A number or a truth value is something to rank by."""
    assert all(to_texts([document])[1])


def test_no_documents_take_an_empty_list_of_fields():
    """Code that computes its arguments needs no special case for an empty list."""
    assert to_texts([], []) == ([], [])


def table(*names):
    """A table whose class has these members."""
    return type("Table", (), dict.fromkeys(names, lambda self, *arguments: []))()


@pytest.mark.parametrize(
    ("table", "call"),
    [
        (pyarrow.table({"a": [1]}), "documents.to_pylist()"),
        (table("columns", "to_dict"), "documents.to_dict('records')"),  # pandas
        (table("columns", "to_dict", "to_dicts"), "documents.to_dicts()"),  # polars
        (table("columns", "collect", "collect_schema", "__getitem__"), "documents.collect().to_dicts()"),  # polars
    ],
)
def test_a_table_gets_advice_that_is_true_for_its_library(table, call):
    """The call that makes a list of its rows."""
    with pytest.raises(InvalidRequestError) as caught:
        to_texts(table)
    assert str(caught.value).endswith(f"pass {call}")
