"""Documents to the texts that are sent: strings as they are, structured documents as YAML. Pure, no I/O."""

from __future__ import annotations

from cohere_rerank.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


def to_texts(documents: Iterable[object], rank_fields: Sequence[str] | None = None) -> tuple[list[object], list[str]]:
    """Read the documents once and give each as text.

    Args:
        documents: n strings, mappings, dataclasses, named tuples, attrs or pydantic models, mixed freely. A structured
            one becomes YAML, keys in the given order.
        rank_fields: Which fields of structured documents to send, in this order; a document sends those it has.
            Strings are sent whole. None sends all fields.

    Returns:
        n documents (the caller's own objects, unchanged, in a new list) and n texts, none of them empty.

    Raises:
        InvalidRequestError: For a document that is empty or of another kind, or a value without a YAML form.
    """
    items = _listed(documents)
    _check_rank_fields(rank_fields)
    if set(map(type, items)) <= {str}:
        texts: list[str] = items[:]  # type: ignore[assignment]  # every item is a str
    else:
        texts = [_to_text(item, index, rank_fields) for index, item in enumerate(items)]
    if not all(texts):
        raise InvalidRequestError(f"document at index {texts.index('')} is empty; leave it out or give it text")
    return items, texts


def to_yaml(document: object, *, index: int | None = None, rank_fields: Sequence[str] | None = None) -> str:
    """Write one structured document as YAML, as `to_texts` does.

    Args:
        document: A mapping, dataclass, named tuple, attrs or pydantic model.
        index: Its place in the list of documents, for error messages.
        rank_fields: Which fields to write, in this order. None writes all.

    Raises:
        InvalidRequestError: No fields, or a value without a YAML form; the message has the key path, not the value.
    """
    _check_rank_fields(rank_fields)
    return _structured(document, index, rank_fields)


def _listed(documents: Any) -> list[object]:
    if type(documents) is list or type(documents) is tuple:
        return list(documents)
    from .yaml_values import fields_of, type_name

    if isinstance(documents, (str, bytes, bytearray, memoryview)) or fields_of(documents) is not None:
        raise InvalidRequestError(
            f"documents must be a list of documents, got one {type_name(documents)}; for a single one pass [document]"
        )
    if hasattr(documents, "columns") and hasattr(documents, "to_dict"):  # iterating one gives its column names
        raise InvalidRequestError(
            f"documents must be a list of documents, got {type_name(documents)}; pass documents.to_dict('records')"
        )
    try:
        iterator = iter(documents)
    except TypeError:
        raise InvalidRequestError(
            f"documents must be a list or another iterable of documents, got {type_name(documents)}"
        ) from None
    return list(iterator)


def _check_rank_fields(rank_fields: Any) -> None:
    if rank_fields is None:
        return
    from .yaml_values import type_name

    if not isinstance(rank_fields, (list, tuple)) or not all(isinstance(name, str) for name in rank_fields):
        raise InvalidRequestError(
            f"rank_fields must be a list of field names, got {type_name(rank_fields)}; for one field pass [name]"
        )
    if not rank_fields:
        raise InvalidRequestError("rank_fields is empty; name at least one field, or pass None for all fields")


def _to_text(document: object, index: int, rank_fields: Sequence[str] | None) -> str:
    if isinstance(document, str):
        return str.__str__(document)  # encoders of JSON differ on subclasses
    return _structured(document, index, rank_fields)


def _structured(document: object, index: int | None, rank_fields: Sequence[str] | None) -> str:
    from .yaml import dump
    from .yaml_values import fields_of, simplify, type_name

    place = "document" if index is None else f"document at index {index}"
    fields = fields_of(document)
    if fields is None:
        raise InvalidRequestError(
            f"{place} is {type_name(document)}; a document is a str, a mapping, a dataclass or a pydantic model"
        )
    if not fields:
        raise InvalidRequestError(f"{place} is empty: it has no fields; leave it out or give it some")
    if rank_fields is not None:
        fields = {name: fields[name] for name in rank_fields if name in fields}
        if not fields:
            raise InvalidRequestError(f"{place} has none of the rank_fields {list(rank_fields)}")
    return dump(fields, (None, "document" if index is None else f"documents[{index}]", 0), simplify)
