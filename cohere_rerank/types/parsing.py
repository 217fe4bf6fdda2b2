"""Make responses: from the bytes of a reply, or without scores; and attach the facts that only the client knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError, ValidationError

from .response import V2RerankResponse, V2RerankResponseResultsItem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _setter(cls: type, name: str) -> Callable[[object, object], None]:
    setter: Callable[[object, object], None] = getattr(cls, name).__set__
    return setter


# The results are frozen. These set the slots of results that no caller has seen yet.
set_index = _setter(V2RerankResponseResultsItem, "index")
set_call_info = _setter(V2RerankResponse, "_call_info")
set_score_scale = _setter(V2RerankResponse, "_score_scale")
_set_score = _setter(V2RerankResponseResultsItem, "relevance_score")
_set_document = _setter(V2RerankResponseResultsItem, "_caller_document")
_set_text = _setter(V2RerankResponseResultsItem, "_sent_text")
_set_n_documents = _setter(V2RerankResponse, "_n_documents_sent")
_set_from_fallback = _setter(V2RerankResponse, "_from_fallback")
_set_answered_by = _setter(V2RerankResponse, "_answered_by")


_validate_json = V2RerankResponse._validator.validate_json


def unscored(n_documents: int) -> V2RerankResponse:
    """Return a response with the documents in their own order, each with None as its score."""
    response = V2RerankResponse(
        results=[V2RerankResponseResultsItem(index=index, relevance_score=0.0) for index in range(n_documents)]
    )
    for item in response.results:
        _set_score(item, None)  # the annotation stays that of the official client
    return response


def parse_response(body: bytes | str) -> V2RerankResponse:
    """Read a reply of the API.

    An index is an integer of at least 0, and a score is a finite number. In ``id`` and ``meta``, a value of the wrong
    type is read as None.

    Raises:
        pydantic.ValidationError: The body is not JSON, or it is not a ranking.
    """
    try:
        response: V2RerankResponse = _validate_json(body)
    except (AttributeError, TypeError):  # an unknown field with a name such as __class__
        error = PydanticCustomError("field_name", "A field has a name that Python keeps for itself")
        raise ValidationError.from_exception_data(
            V2RerankResponse.__name__, [{"type": error, "loc": (), "input": None}]
        ) from None
    return response


def attach(
    response: V2RerankResponse,
    documents: Sequence[object],
    texts: Sequence[str],
    indices: Sequence[int] | None = None,
    *,
    is_fallback: bool = False,
    answered_by: str | None = None,
) -> V2RerankResponse:
    """Give each result its document, the text that was sent for it, and its index in the caller's list.

    Args:
        response: Changed in place, and returned. Each index is in range.
        documents: The caller's objects.
        texts: The texts that were sent.
        indices: The index in *documents* of the document of each text. Default: None, the same index.
        is_fallback: Whether the fallback answered.
        answered_by: The member of the fallback chain that answered.
    """
    for item in response.results:
        index = item.index
        _set_text(item, texts[index])
        if indices is not None:
            index = indices[index]
            set_index(item, index)
        _set_document(item, documents[index])
    _set_n_documents(response, len(documents))
    _set_from_fallback(response, is_fallback)
    _set_answered_by(response, answered_by)
    return response
