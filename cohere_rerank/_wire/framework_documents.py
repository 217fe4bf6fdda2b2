"""Find the text in the documents of frameworks and vector stores. Pure, and it imports none of them.

A node of LlamaIndex or a hit of Elasticsearch has ids, scores and embeddings beside its text. Sent whole, these would
come first, and the text would be cut off. Each shape is recognized by its attributes or keys, as its library has them.
"""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    _Shape = tuple[str, type, str | None, tuple[str, ...]]

MIN_VECTOR_LENGTH = 32  # the shortest embeddings that are in use have 64 numbers
_MAX_DEPTH = 4  # a hit that holds a node that holds a document
# Vespa returns these with the fields of a document.
_VESPA_FIELDS = frozenset({"documentid", "matchfeatures", "rankfeatures", "sddocname", "summaryfeatures"})


def unwrap(document: object) -> object:
    """Return the text of a framework's document, its mapping of fields, or any other document as it is.

    Args:
        document: One document of the caller, of any type.

    Returns:
        A string or a mapping for a recognized shape: a document of LangChain, LlamaIndex, Haystack, Agno or CrewAI, a
        memory of mem0, a hit of Elasticsearch, OpenSearch or Vespa, a point of Qdrant, Weaviate or Pinecone; each as an
        object, or as the mapping that its library makes of it.
    """
    for _ in range(_MAX_DEPTH):
        inner = _inner(_MAPPINGS, document.get) if isinstance(document, Mapping) else _from_object(document)
        if inner is None:
            return document
        document = inner
        if isinstance(document, str):
            return document
    return document


def _from_object(document: Any) -> object | None:
    if isinstance(document, tuple):
        return _from_pair(document)
    if isinstance(document, (str, bytes, int, float, list, type(None))):
        return None
    if callable(get_content := _attribute(document, "get_content")):  # LlamaIndex
        content = get_content()
        return content if isinstance(content, str) else None
    if isinstance(_attribute(document, "meta"), Mapping) and getattr(document, "blob", document) is not document:
        return _attribute(document, "content") or ""  # Haystack; None if it has a blob, such as an image
    inner = _inner(_OBJECTS, lambda name: _attribute(document, name))
    kind = type(document)
    if inner is None and hasattr(kind, "to_dict") and not _has_declared_fields(kind):
        return document.to_dict() if _attribute(document, "meta") is not None else None  # elasticsearch.dsl
    return inner


def _has_declared_fields(kind: type) -> bool:
    return hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__") or hasattr(kind, "model_fields")


def _from_pair(pair: tuple[Any, ...]) -> object | None:
    """Return the document of a pair of a document and its score, as a search with scores of LangChain returns it."""
    if len(pair) != 2 or not _is_number(pair[1]) or isinstance(pair[0], (str, tuple)):
        return None
    inner = unwrap(pair[0])
    return None if inner is pair[0] else inner


def _attribute(document: object, name: str) -> object:
    try:
        return getattr(document, name, None)
    except Exception:  # noqa: BLE001 - a property of any class may raise anything
        return None


def _inner(shapes: tuple[_Shape, ...], value_of: Callable[[str], object]) -> object | None:
    """Return the value of the first field of the first shape that fits."""
    for name, kind, mapping, others in shapes:
        value = value_of(name)
        if (
            isinstance(value, kind)
            and (mapping is None or isinstance(value_of(mapping), Mapping))
            and all(value_of(other) is not None for other in others)
        ):
            return value
    return None


# The field of the text, the type of the text, a field that must be a mapping, and other required fields.
_OBJECTS: tuple[_Shape, ...] = (
    ("page_content", str, "metadata", ()),  # LangChain
    ("content", str, "meta", ()),  # Haystack
    ("text", str, "metadata", ()),
    ("content", str, "meta_data", ()),  # Agno
    ("document", str, "metadata", ("score",)),  # Qdrant with fastembed
    ("body", Mapping, None, ("meta",)),  # the response of Elasticsearch to `get`
    ("payload", Mapping, None, ("id",)),  # Qdrant
    ("properties", Mapping, None, ("uuid",)),  # Weaviate
    ("metadata", Mapping, None, ("values", "score")),  # Pinecone
)
_MAPPINGS: tuple[_Shape, ...] = (
    ("_source", Mapping, None, ()),  # Elasticsearch, OpenSearch
    ("fields", Mapping, None, ("_index", "_id")),  # the same, without _source
    ("page_content", str, "metadata", ()),  # LangChain
    ("kwargs", Mapping, None, ("lc",)),  # LangChain's own serialization
    ("node", Mapping, None, ("class_name",)),  # LlamaIndex, with a score
    ("text", str, "metadata", ("id_",)),  # LlamaIndex
    ("content", str, "meta", ()),  # Haystack
    ("content", str, None, ("id", "embedding")),  # Haystack, flattened
    ("content", str, "metadata", ("id", "score")),  # CrewAI
    ("memory", str, None, ("id", "created_at")),  # mem0
    ("payload", Mapping, None, ("id", "score")),  # Qdrant
    ("payload", Mapping, None, ("id", "vector")),
    ("entity", Mapping, None, ("id", "distance")),  # Milvus
    ("document", Mapping, None, ("text_match",)),  # Typesense
    ("fields", Mapping, None, ("relevance",)),  # Vespa
    ("properties", Mapping, None, ("uuid",)),  # Weaviate
    ("properties", Mapping, None, ("vector",)),
    ("metadata", Mapping, None, ("id", "score", "values")),  # Pinecone
)


def documents_inside(response: Any) -> str | None:
    """Return what leads from the whole response of a search to its documents, such as ``.points``, or None."""
    body = _attribute(response, "body")  # Elasticsearch
    mapping = body if isinstance(body, Mapping) else response
    if isinstance(mapping, Mapping):
        hits = mapping.get("hits")
        if isinstance(hits, Mapping) and isinstance(hits.get("hits"), list):
            return "['hits']['hits']"
        lists = (name for name in ("documents", "matches", "points") if isinstance(mapping.get(name), list))
        name = next(lists, None)
        if name is None:
            return None
        is_nested = bool(mapping[name]) and isinstance(mapping[name][0], list)  # Chroma: one list for each query
        return f"[{name!r}][0]" if is_nested else f"[{name!r}]"
    names = ("points", "matches", "objects", "source_nodes", "hits")  # Qdrant, Pinecone, Weaviate, LlamaIndex, Vespa
    return next((f".{name}" for name in names if isinstance(_attribute(response, name), list)), None)


def vector_paths(fields: Mapping[Any, Any], path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the path and the length of each long list of numbers in a document, such as an embedding."""
    for name, value in fields.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping):
            if depth < _MAX_DEPTH:
                yield from vector_paths(value, here, depth + 1)
        elif (length := vector_length(value)) is not None:
            yield here, length


def vector_length(value: Any, depth: int = 0) -> int | None:
    """Return the length of a long list of numbers: a list, a tuple or an array, or the first of a list of these.

    None for anything else.
    """
    if isinstance(value, (str, bytes, bytearray, Mapping, set, frozenset)) or not hasattr(value, "__getitem__"):
        return None
    try:
        n_items = len(value)
        if n_items and _has_length(first := value[0]):
            return vector_length(first, depth + 1) if depth < _MAX_DEPTH else None
        is_long = n_items >= MIN_VECTOR_LENGTH
        return n_items if is_long and all(_is_number(value[i]) for i in range(MIN_VECTOR_LENGTH)) else None
    except (TypeError, KeyError, IndexError):  # an unusual type; the caller decides what to do with it
        return None


def _has_length(value: Any) -> bool:
    """Return whether a value has items. Numbers of numpy and torch can be indexed too, but they have no length."""
    try:
        return len(value) >= 0
    except TypeError:
        return False


def _is_number(value: object) -> bool:
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__")


def without_vectors(fields: Mapping[Any, object], depth: int = 0) -> dict[Any, object]:
    """Return the fields in their order, without long lists of numbers and without the fields that Vespa adds."""
    kept: dict[Any, object] = {}
    is_from_vespa = "sddocname" in fields
    for name, value in fields.items():
        if is_from_vespa and (name in _VESPA_FIELDS or _is_tensor(value)):
            continue
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            kept[name] = without_vectors(value, depth + 1)
        elif vector_length(value) is None:
            kept[name] = value
    return kept


def _is_tensor(value: object) -> bool:
    return isinstance(value, Mapping) and str(value.get("type", "")).startswith("tensor")
