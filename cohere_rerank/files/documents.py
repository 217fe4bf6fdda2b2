"""One document of a retrieval result: its text, its id and its score. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cohere_rerank._wire.framework_documents import unwrap
from cohere_rerank.errors import InvalidRequestError

from .cells import clean_id, text_of
from .names import DOC_ID, GRADE, RANK, SCORE, TEXT, TITLE, find, get_path, plain

__all__ = ["Document", "read_document"]

_NOT_CONTENT = frozenset((*DOC_ID, *SCORE, *RANK, *GRADE, "ordinal", "distance", "similarity"))
_WRAPPERS = ("doc", "node", "document", "_source", "payload", "passage")  # an object with the content


class Document(NamedTuple):
    """A document of a list.

    Attributes:
        content: The text, or an object of fields.
        id: Its id in the file, or None.
        score: The score of the retrieval, or None.
    """

    content: object
    id: str | int | None = None
    score: float | None = None


def read_document(
    element: object, *, text_field: str | None = None, id_field: str | None = None, is_raw: bool = False
) -> Document:
    """Read one element of a list of documents.

    Ids, scores and ranks are not part of the content. An object with one text is that text, and one with a title and a
    text has both. Any other object keeps its fields.

    Args:
        element: A text or an object.
        text_field: Where the text is.
        id_field: Where the id is.
        is_raw: Whether an object stays as it is.

    Raises:
        InvalidRequestError: An id is not valid, or the field is missing.
    """
    if not isinstance(element, Mapping):
        return Document(text_of("a document", element))
    doc_id = _id_of(element, id_field)
    score = element.get("score", element.get("_score"))
    number = float(score) if isinstance(score, (int, float)) and not isinstance(score, bool) else None
    if text_field is not None:
        content = get_path(element, text_field)
        if content is None:
            raise InvalidRequestError(f"a document has no field {text_field}; it has {', '.join(map(str, element))}")
        return Document(text_of(text_field, content), doc_id, number)
    return Document(element if is_raw else _content(element), doc_id, number)


def _id_of(element: Mapping[str, Any], id_field: str | None) -> str | int | None:
    if id_field is not None:
        return clean_id(get_path(element, id_field), id_field)
    inner: Mapping[str, Any] = next((element[name] for name in _WRAPPERS if isinstance(element.get(name), Mapping)), {})
    for fields in (element, inner, element.get("metadata"), element.get("meta")):
        if isinstance(fields, Mapping) and (name := find(fields, DOC_ID)) is not None:
            value = fields[name]
            if not isinstance(value, (list, Mapping, type(None))):
                return clean_id(value, name)
    return None


def _content(element: Mapping[str, Any]) -> object:
    inner: object = unwrap(element)
    if inner is element:
        names = _WRAPPERS if find(element, TEXT) is not None else (*_WRAPPERS, "metadata")
        wrapped = next((element[name] for name in names if isinstance(element.get(name), Mapping)), None)
        inner = element if wrapped is None else unwrap(wrapped)
    if not isinstance(inner, Mapping):
        return inner
    fields = {name: value for name, value in inner.items() if plain(str(name)) not in _NOT_CONTENT}
    filled = {name: value for name, value in fields.items() if value not in (None, "")}
    if len(filled) == 1 and isinstance(only := next(iter(filled.values())), str):
        return only
    title, text = find(filled, TITLE), find(filled, TEXT)
    if text is not None and isinstance(filled[text], str):
        if title is None:
            return filled[text]
        return {"title": filled[title], "text": filled[text]}
    return filled or dict(inner)
