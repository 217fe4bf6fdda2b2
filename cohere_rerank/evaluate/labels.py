"""The field ``relevant`` of a labelled list: indices, ids, or a 0 or 1 for each document. Pure."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.names import plain
from cohere_rerank.files.shapes import FileRow

__all__ = ["grades_from_relevant", "relevant_form"]

_MASK, _INDICES = "a 0 or 1 for each document", "indices"


def relevant_form(rows: Sequence[FileRow]) -> str | None:
    """Return what ``relevant`` holds in a file: ``"mask"`` or ``"indices"``, or None if no row shows it.

    One row alone may be ambiguous: ``[0, 1]`` of two documents is a mask or two indices. Other rows of the file decide.

    Raises:
        InvalidRequestError: Some rows can only be masks, and others only indices.
    """
    found = {form for row in rows if (form := _form_of(row)) is not None}
    if len(found) > 1:
        raise InvalidRequestError(
            f"relevant is {_MASK} in some rows and has {_INDICES} in others; use one form, or grades"
        )
    return next(iter(found), None)


def _form_of(row: FileRow) -> str | None:
    name = next((name for name in row.labels if plain(name) == "relevant"), None)
    relevant = row.labels.get(name or "")
    if not isinstance(relevant, list) or not isinstance(row.documents, list) or not relevant:
        return None
    n_documents = len(row.documents)
    if any(isinstance(value, str) for value in relevant):
        return None
    if len(relevant) != n_documents or not all(value in (0, 1) for value in relevant):
        return "indices"
    if n_documents > 2 or relevant in ([1], [0, 0], [1, 1]) or all(isinstance(value, bool) for value in relevant):
        return "mask"
    return None


def grades_from_relevant(
    relevant: Sequence[Any], n_documents: int, ids: Sequence[str | int | None] | None, form: str | None
) -> list[float]:
    """Return a grade of 0 or 1 for each document.

    Args:
        relevant: The value of the field.
        n_documents: The number of documents.
        ids: Their ids, or None.
        form: As `relevant_form` returns it.

    Raises:
        InvalidRequestError: A value is not an index, an id or a mask, or the form is ambiguous.
    """
    if form == "mask" and len(relevant) == n_documents:
        return [float(value) for value in relevant]
    if form == "mask" and relevant:
        raise InvalidRequestError(f"relevant must have {_MASK}, got {len(relevant)} for {n_documents} documents")
    if form is None and n_documents == 2 and len(relevant) == 2 and all(type(value) is int for value in relevant):
        raise InvalidRequestError(f"relevant is {list(relevant)!r}: is it {_MASK}, or {_INDICES}? Write grades instead")
    grades = [0.0] * n_documents
    places = {str(each): index for index, each in enumerate(ids or ())}
    for value in relevant:
        index = places.get(value) if isinstance(value, str) else value
        if type(index) is not int or not 0 <= index < n_documents:
            shown = reprlib.repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
            found = shown or type(value).__name__  # a text may be a document
            raise InvalidRequestError(f"relevant must have indices from 0 to {n_documents - 1}, got {found}")
        grades[index] = 1.0
    return grades
