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


def unwrap(document: object) -> object:
    """Return the text of a framework's document, its mapping of fields, or any other document as it is.

    Args:
        document: One document of the caller, of any type.

    Returns:
        A string or a mapping for a recognized shape: a document of LangChain, LlamaIndex or Haystack, a hit of
        Elasticsearch, OpenSearch or Vespa, a point of Qdrant, Weaviate or Pinecone; each as an object, or as the
        mapping that its library makes of it.
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
    if isinstance(document, (str, bytes, int, float, list, tuple, type(None))):
        return None
    if callable(get_content := _attribute(document, "get_content")):  # LlamaIndex
        content = get_content()
        return content if isinstance(content, str) else None
    return _inner(_OBJECTS, lambda name: _attribute(document, name))


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
    ("payload", Mapping, None, ("id",)),  # Qdrant
    ("properties", Mapping, None, ("uuid",)),  # Weaviate
    ("metadata", Mapping, None, ("values", "score")),  # Pinecone
)
_MAPPINGS: tuple[_Shape, ...] = (
    ("_source", Mapping, None, ()),  # Elasticsearch, OpenSearch
    ("page_content", str, "metadata", ()),  # LangChain
    ("kwargs", Mapping, None, ("lc",)),  # LangChain's own serialization
    ("node", Mapping, None, ("class_name",)),  # LlamaIndex, with a score
    ("text", str, "metadata", ("id_",)),  # LlamaIndex
    ("content", str, "meta", ()),  # Haystack
    ("content", str, None, ("id", "embedding")),  # Haystack, flattened
    ("payload", Mapping, None, ("id", "score")),  # Qdrant
    ("payload", Mapping, None, ("id", "vector")),
    ("fields", Mapping, None, ("relevance",)),  # Vespa
    ("properties", Mapping, None, ("uuid",)),  # Weaviate
    ("properties", Mapping, None, ("vector",)),
    ("metadata", Mapping, None, ("id", "score", "values")),  # Pinecone
)


def vector_paths(fields: Mapping[Any, Any], path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the path and the length of each long list of numbers in a document, such as an embedding."""
    for name, value in fields.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping):
            if depth < _MAX_DEPTH:
                yield from vector_paths(value, here, depth + 1)
        elif is_vector(value):
            yield here, len(value)


def is_vector(value: Any, depth: int = 0) -> bool:
    """Return whether a value is a long list of numbers: a list, a tuple or an array, or a list of these."""
    if isinstance(value, (str, bytes, bytearray, Mapping, set, frozenset)) or not hasattr(value, "__getitem__"):
        return False
    try:
        n_items = len(value)
        if n_items and not isinstance(first := value[0], (str, int, float)) and hasattr(first, "__getitem__"):
            return depth < _MAX_DEPTH and is_vector(first, depth + 1)
        return n_items >= MIN_VECTOR_LENGTH and all(_is_number(value[i]) for i in range(MIN_VECTOR_LENGTH))
    except (TypeError, KeyError, IndexError):  # an unusual type; the caller decides what to do with it
        return False


def _is_number(value: object) -> bool:
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__")


def without_vectors(fields: Mapping[Any, object], depth: int = 0) -> dict[Any, object]:
    """Return the fields in their order, without long lists of numbers."""
    kept: dict[Any, object] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            kept[name] = without_vectors(value, depth + 1)
        elif not is_vector(value):
            kept[name] = value
    return kept
