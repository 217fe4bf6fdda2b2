"""Convert documents to the texts that are sent. Strings stay the same; structured documents become YAML. Pure."""

from __future__ import annotations

from cohere_rerank._validators import choice
from cohere_rerank.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any


EMPTY_CHOICES = ("error", "skip")


def to_texts(
    documents: Iterable[object],
    rank_fields: Sequence[str] | None = None,
    text: str | Callable[[Any], str] | None = None,
    on_empty: str | None = None,
) -> tuple[list[object], list[str]]:
    """Read the documents once and return the text of each.

    Args:
        documents: n strings, mappings, dataclasses, named tuples, attrs or pydantic models, rows, or documents of a
            framework, mixed freely. Of a framework's document only the text is sent. Any other structured document
            becomes YAML, with its keys in the given order.
        rank_fields: Names or dotted paths of the fields of structured documents to send, in this order. A document
            sends those that it has. Strings are sent whole. None: all fields are sent.
        text: Where the text of a structured document is: a field's name, a dotted path, or a function of the document
            that returns it. None: the documents of common frameworks are recognized.
        on_empty: What to do with a document without content, such as a missing value of a column: ``"error"`` raises,
            ``"skip"`` returns ``""`` for it.

    Returns:
        n documents (the caller's own objects, unchanged, in a new list) and n texts.

    Raises:
        InvalidRequestError: For a document that is empty or of another kind, or a value without a YAML form.
    """
    items: list[object] = list(documents) if type(documents) in (list, tuple) else _as_list(documents)
    if rank_fields is not None and (items or rank_fields != []):  # no documents have no fields to choose from
        _check_rank_fields(rank_fields)
    if text is not None:
        _check_text(text, rank_fields)
    on_empty = choice("on_empty", on_empty, EMPTY_CHOICES) or "error"
    if set(map(type, items)) <= {str}:
        texts: list[str] = items[:]  # type: ignore[assignment]  # every item is a str
    else:
        texts = _texts(items, rank_fields, text, on_empty)
    if not all(texts) or any(map(str.isspace, texts)):
        texts = ["" if each.isspace() else each for each in texts]
        if on_empty == "error":
            raise _empty(f"document at index {texts.index('')}")
    return items, texts


def _texts(
    items: list[object], rank_fields: Sequence[str] | None, text: str | Callable[[Any], str] | None, on_empty: str
) -> list[str]:
    from .yaml_values import has_content

    texts: list[str] = []
    has_warned = False
    for index, given in enumerate(items):
        item: Any = given
        if hasattr(item, "as_py"):  # a scalar of Arrow
            item = item.as_py()
        if isinstance(item, str):
            texts.append(str.__str__(item))  # encoders of JSON differ on subclasses
            continue
        if on_empty == "skip" and (item is None or item != item):  # None, or NaN as pandas has it
            texts.append("")
            continue
        if text is not None:
            texts.append(_chosen_text(item, text, f"document at index {index}"))
            continue
        fields = _fields(item, index, rank_fields)
        if isinstance(fields, str) or not has_content(fields):
            texts.append(fields if isinstance(fields, str) else "")
            continue
        if not has_warned:
            has_warned = _warn_of_vector(fields, index)
        texts.append(_yaml(fields, index))
    return texts


def to_yaml(document: object, *, index: int | None = None, rank_fields: Sequence[str] | None = None) -> str:
    """Write one structured document as YAML, as `to_texts` does.

    Args:
        document: A mapping, dataclass, named tuple, attrs or pydantic model.
        index: The index in the list of documents, for error messages.
        rank_fields: The fields to write, in this order. None: all fields are written.

    Raises:
        InvalidRequestError: There are no fields, or a value has no YAML form. The message names the path of the value.
    """
    if rank_fields is not None:
        _check_rank_fields(rank_fields)
    fields = _fields(document, index, rank_fields)
    if isinstance(fields, str):
        return fields
    if not fields:
        raise _empty("document" if index is None else f"document at index {index}")
    return _yaml(fields, index)


def _as_list(documents: Any) -> list[object]:
    from .framework_documents import documents_inside
    from .yaml_values import fields_of, type_name

    if (inside := documents_inside(documents)) is not None:
        raise InvalidRequestError(
            f"documents must be a list of documents, got {type_name(documents)}; pass documents{inside}"
        )
    if isinstance(documents, (str, bytes, bytearray, memoryview)) or fields_of(documents) is not None:
        raise InvalidRequestError(
            f"documents must be a list of documents, got one {type_name(documents)}; for a single one pass [document]"
        )
    if (rows := rows_of_table(documents)) is not None:
        raise InvalidRequestError(
            f"documents must be a list of documents, got {type_name(documents)}; pass documents.{rows}"
        )
    try:
        iterator = iter(documents)
    except TypeError:
        raise InvalidRequestError(
            f"documents must be a list or another iterable of documents, got {type_name(documents)}"
        ) from None
    return list(iterator)


def rows_of_table(table: object) -> str | None:
    """Return the call that makes a list of rows from a table, such as one of pandas, polars or Arrow, or None.

    Iterating over such a table yields its columns.
    """
    if not hasattr(type(table), "columns"):  # of the class: a LazyFrame of polars would compute its columns
        return None
    calls = {
        "to_dicts": "to_dicts()",
        "to_pylist": "to_pylist()",
        "to_dict": "to_dict('records')",
        "collect_schema": "collect().to_dicts()",
    }
    return next((call for name, call in calls.items() if hasattr(type(table), name)), None)


def _check_rank_fields(rank_fields: Any) -> None:
    from .yaml_values import type_name

    if not isinstance(rank_fields, (list, tuple)) or not all(isinstance(name, str) for name in rank_fields):
        raise InvalidRequestError(
            f"rank_fields must be a list of field names, got {type_name(rank_fields)}; for one field pass [name]"
        )
    if not rank_fields:
        raise InvalidRequestError("rank_fields is empty; name at least one field, or pass None for all fields")


def _check_text(text: Any, rank_fields: Any) -> None:
    if not isinstance(text, str) and not callable(text):
        from .yaml_values import type_name

        raise InvalidRequestError(
            f"text must be a field's name, a dotted path or a function of a document, got {type_name(text)}"
        )
    if rank_fields is not None:
        raise InvalidRequestError("text and rank_fields are mutually exclusive: pass one of them")


def _fields(document: object, index: int | None, rank_fields: Sequence[str] | None) -> dict[Any, object] | str:
    """Return the fields to send, or the text of a framework's document."""
    from .framework_documents import unwrap, without_vectors
    from .yaml_values import MISSING, fields_of, type_name, value_at

    place = "document" if index is None else f"document at index {index}"
    inner = unwrap(document)
    if isinstance(inner, str) and inner is not document:
        if rank_fields is None:
            return inner
        inner = document
    fields = fields_of(inner, any_row=True)
    if fields is None:
        raise InvalidRequestError(
            f"{place} is {type_name(document)}; a document is a str, a mapping, a dataclass, a pydantic model, a row of"
            " a database or a framework's document. For others pass text=function"
        )
    if rank_fields is not None:
        found = {name: value for name in rank_fields if (value := value_at(fields, name)) is not MISSING}
        if not found and fields:
            raise InvalidRequestError(f"{place} has none of the rank_fields {list(rank_fields)}")
        return found
    return fields if inner is document else without_vectors(fields)


def _chosen_text(document: object, text: str | Callable[[Any], str], place: str) -> str:
    from .yaml_values import MISSING, fields_of, type_name, value_at

    if isinstance(text, str):
        chosen = value_at(fields_of(document, any_row=True) or {}, text)
        if chosen is MISSING:
            chosen = value_at(document, text)
        if chosen is MISSING:
            raise InvalidRequestError(f"{place} ({type_name(document)}) has no field {text!r}, which text= names")
    else:
        chosen = text(document)
    if chosen is None:
        return ""
    if not isinstance(chosen, str):
        raise InvalidRequestError(f"text= must lead to a string; for the {place} it is {type_name(chosen)}")
    return str.__str__(chosen)


def _empty(place: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{place} is empty: it has neither text nor a field with a value. Leave it out, or pass on_empty='skip'"
    )


def _warn_of_vector(fields: dict[Any, object], index: int) -> bool:
    from .framework_documents import vector_paths

    found = next(vector_paths(fields), None)
    if found is None:
        return False
    from cohere_rerank._warn import warn

    path, length = found
    warn(
        f"document at index {index}: the field {path!r} is a list of {length} numbers, such as an embedding, and is"
        " sent as text. Name the fields to send with rank_fields=, or the field with the text with text=."
    )
    return True


def _yaml(fields: dict[Any, object], index: int | None) -> str:
    from .yaml import dump
    from .yaml_values import to_plain

    return dump(fields, (None, "document" if index is None else f"documents[{index}]", 0), to_plain)
