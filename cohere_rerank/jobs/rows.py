"""One row of a job: from a record of the input to a request, and from its outcome to a record of the output. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cohere_rerank.cost import estimate_search_units
from cohere_rerank.cost.prices import price_of
from cohere_rerank.errors import ApiError, CohereRerankError, InvalidRequestError
from cohere_rerank.files.shapes import FileRow
from cohere_rerank.types import RerankArguments
from cohere_rerank.types.response import billed_units_of, call_info_of

if TYPE_CHECKING:
    from cohere_rerank.types import V2RerankResponse

__all__ = [
    "ARGUMENTS",
    "Row",
    "estimated_bill",
    "invalid_row",
    "outcome_record",
    "read_row",
    "unknown_fields",
    "unknown_message",
]

_NOT_DATA = frozenset({"request_options", "deadline"})  # how a request is sent is not a matter of a row
ARGUMENTS = tuple(name for name in RerankArguments.__annotations__ if name not in _NOT_DATA)
_ARGUMENT_SET = frozenset(ARGUMENTS)
_COST_ARGUMENTS = ("query", "documents", "max_tokens_per_doc", "rank_fields", "max_documents_per_request")


@dataclass(slots=True)  # a frozen dataclass takes four times as long to make
class Row:
    """A record of the input. It is not changed.

    Attributes:
        number: Its number from 1: the line in JSON Lines, else the record.
        place: How an error message names it, such as ``"line 7"``.
        id: The caller's id, or the number if the record has no id. None if the id is invalid or taken.
        request: Arguments for ``rerank``. Empty if there is an error.
        error: Why it cannot be sent.
        document_ids: The ids of the documents, if the output has them.
        has_documents: Whether the output has the documents.
        kept: Fields of the input that the output repeats.
    """

    number: int
    place: str
    id: str | int | None
    request: Mapping[str, Any]
    error: InvalidRequestError | None = None
    document_ids: Sequence[str | int | None] | None = None
    has_documents: bool = False
    kept: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:  # never the query or the documents
        return f"<Row {self.number}>"


def read_row(number: int, place: str, found: FileRow, common: Mapping[str, Any], *, ignore_unknown: bool) -> Row:
    """Make a row of a job from a row of a file. One that cannot be sent becomes a row with an error.

    Args:
        number: Its number from 1.
        place: How an error message names it.
        found: The row of the file.
        common: Arguments for rows that do not set them.
        ignore_unknown: Whether fields that ``rerank`` does not know are left out instead of refused.
    """
    row_id = number if found.id is None else found.id
    unknown = [] if ignore_unknown else unknown_fields(found)
    if unknown:
        return invalid_row(number, place, row_id, unknown_message(unknown))
    values = {"query": found.query, "documents": found.documents, **found.arguments}
    for name in ("query", "documents"):
        if values[name] is None:
            return invalid_row(number, place, row_id, f"the row has no {name}")
    own = {key: value for key, value in values.items() if value is not None and key in _ARGUMENT_SET}
    return Row(number, place, row_id, {**common, **own}, document_ids=found.document_ids, kept=found.kept)


def unknown_fields(found: FileRow) -> list[str]:
    """Return the fields of a row that ``rerank`` does not know, sorted."""
    return sorted(str(key) for key in found.arguments.keys() - _ARGUMENT_SET) if found.is_native else []


def unknown_message(unknown: Sequence[str]) -> str:
    """Return the message for unknown fields."""
    return (
        f"unknown field {', '.join(unknown)}; a row may have id, {', '.join(ARGUMENTS)}; "
        "to leave out unknown fields, set ignore_unknown=True (--ignore-unknown)"
    )


def invalid_row(number: int, place: str, row_id: str | int | None, message: str) -> Row:
    """Return a row that cannot be sent."""
    return Row(number, place, row_id, {}, InvalidRequestError(message))


def outcome_record(row: Row, outcome: V2RerankResponse | CohereRerankError) -> dict[str, Any]:
    """Return the output's record for the outcome of a row."""
    return _error_record(row, outcome) if isinstance(outcome, CohereRerankError) else _results_record(row, outcome)


def _results_record(row: Row, response: V2RerankResponse) -> dict[str, Any]:
    results = []
    documents = row.request["documents"] if row.has_documents else ()
    for item in response.results:
        result: dict[str, Any] = {"index": item.index, "relevance_score": item.relevance_score}
        if row.document_ids is not None:
            result["id"] = row.document_ids[item.index]
        if row.has_documents:
            result["document"] = documents[item.index]
        if item.relevant_spans is not None:
            spans = item.relevant_spans
            result["relevant_spans"] = [{"start": span.start, "end": span.end, "score": span.score} for span in spans]
        results.append(result)
    record = {"id": row.id, "row": row.number, **row.kept, "results": results}
    if response.is_fallback:
        record["is_fallback"] = True
    return {**record, **_cost_fields(row, response)}


def _cost_fields(row: Row, response: V2RerankResponse) -> dict[str, Any]:
    """Return what a row cost, or estimates where the response does not say so."""
    fields: dict[str, Any] = {}
    cost = response.cost
    if cost:  # a cost of 0 says nothing new
        fields["cost_usd"] = cost
    if response.is_fallback:
        return fields
    billed = billed_units_of(response)
    if billed:
        fields["billed_units"] = billed
    if not row.request["documents"] or (billed and cost is not None):
        return fields
    bill = estimated_bill(row)
    if not billed:
        fields["estimated_search_units"] = bill.get("search_units", 0.0)
    if cost is None and (estimate := _estimated_cost(response, bill)) is not None:
        fields["estimated_cost_usd"] = estimate
    return fields


def _error_record(row: Row, error: CohereRerankError) -> dict[str, Any]:
    """Return the record of a row that failed. No error of this package shows a key or a document."""
    if row.error is not None:
        error = row.error
    is_invalid = isinstance(error, InvalidRequestError)
    fields: dict[str, Any] = {
        "type": type(error).__name__,
        "message": f"{row.place}: {error.message}" if is_invalid else error.message,
    }
    if isinstance(error, ApiError) and error.status_code is not None:
        fields["status_code"] = error.status_code
    if error.request_id is not None:
        fields["request_id"] = error.request_id
    if error.attempts:
        fields["attempts"] = error.attempts
    return {"id": row.id, "row": row.number, **row.kept, "error": fields}


def estimated_bill(row: Row) -> dict[str, float]:
    """Return an estimate of what a row costs, by the names of billed units. Empty if the row cannot be sent."""
    if row.error is not None:
        return {}
    arguments: dict[str, Any] = {name: row.request.get(name) for name in _COST_ARGUMENTS}
    try:
        return estimate_search_units(**arguments).billed_units
    except InvalidRequestError:
        return {}


def _estimated_cost(response: V2RerankResponse, bill: Mapping[str, float]) -> float | None:
    """Return the estimate of a row in USD, at the prices of the client that got the response."""
    info = call_info_of(response)
    price = None if info.pricing is None else price_of(info.model, info.pricing)
    return None if price is None else price.cost(bill)
