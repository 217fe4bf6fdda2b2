"""One row of a job: a record of the input as a request, an outcome as a record of the output. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cohere_rerank.cost import estimate_search_units
from cohere_rerank.errors import ApiError, CohereRerankError, InvalidRequestError

if TYPE_CHECKING:
    from cohere_rerank.types import V2RerankResponse

__all__ = ["ARGUMENTS", "Row", "bad_row", "estimated_units", "outcome_record", "read_row"]

# What a row may say; how to send it (headers, deadlines) is not a matter of data.
ARGUMENTS = (
    "model",
    "query",
    "documents",
    "top_n",
    "max_tokens_per_doc",
    "relevant_spans",
    "priority",
    "rank_fields",
    "min_score",
    "max_documents_per_request",
)

_THAT_COST = ("query", "documents", "max_tokens_per_doc", "rank_fields", "max_documents_per_request")


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the input.

    Attributes:
        number: Its place from 1: in JSONL the line's number, else the record's.
        place: What an error calls it, such as ``"line 7"``.
        id: What the caller calls it; its number where it has no id; None if it has no right to the one it gives.
        request: Arguments for ``rerank``; empty if there is an error.
        error: Why it cannot be sent.
    """

    number: int
    place: str
    id: str | int | None
    request: Mapping[str, Any]
    error: InvalidRequestError | None = None

    def __repr__(self) -> str:  # never the query or the documents
        return f"<Row {self.number}>"


def read_row(number: int, place: str, record: object, common: Mapping[str, Any], *, ignores_unknown: bool) -> Row:
    """Make a row of a record, or of what is wrong with it.

    Args:
        number: Its place from 1.
        place: What an error calls it.
        record: What the file holds there.
        common: Arguments of rows that do not set them themselves.
        ignores_unknown: Whether fields that ``rerank`` does not know are left out instead of refused.
    """
    if not isinstance(record, Mapping):
        return bad_row(number, place, None, f"a row must be an object with query and documents, got a {_kind(record)}")
    name = number if record.get("id") is None else record["id"]
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        return bad_row(number, place, None, f"an id must be a string or a whole number, got a {_kind(name)}")
    unknown = [] if ignores_unknown else sorted(str(key) for key in record.keys() - {"id", *ARGUMENTS})
    if unknown:
        known = ", ".join(ARGUMENTS)
        message = (
            f"a row has no {', '.join(unknown)}; it may have id, {known}; "
            "or have the job ignore unknown fields (ignore_unknown=True, or --ignore-unknown)"
        )
        return bad_row(number, place, name, message)
    for needed in ("query", "documents"):
        if record.get(needed) is None:
            return bad_row(number, place, name, f"the row has no {needed}")
    own = {key: record[key] for key in ARGUMENTS if record.get(key) is not None}
    return Row(number, place, name, {**common, **own})


def bad_row(number: int, place: str, name: str | int | None, message: str) -> Row:
    """A row that cannot be sent."""
    return Row(number, place, name, {}, InvalidRequestError(message))


def _kind(value: object) -> str:
    kinds = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")


def outcome_record(row: Row, outcome: V2RerankResponse | CohereRerankError) -> dict[str, Any]:
    """The output's record of what became of a row."""
    return failure(row, outcome) if isinstance(outcome, CohereRerankError) else ranking(row, outcome)


def ranking(row: Row, response: V2RerankResponse) -> dict[str, Any]:
    """The output's record of an answer: results, and what they cost."""
    results = []
    for item in response.results:
        result: dict[str, Any] = {"index": item.index, "relevance_score": item.relevance_score}
        if item.relevant_spans is not None:
            spans = item.relevant_spans
            result["relevant_spans"] = [{"start": one.start, "end": one.end, "score": one.score} for one in spans]
        results.append(result)
    record = {"id": row.id, "row": row.number, "results": results}
    if response.is_fallback:
        return {**record, "is_fallback": True}
    units = response.meta.billed_units if response.meta else None
    billed = units.model_dump(exclude_none=True) if units else {}
    if billed:
        return {**record, "billed_units": billed}
    if not row.request["documents"]:
        return record  # nothing was sent
    return {**record, "estimated_search_units": estimated_units(row)}


def failure(row: Row, error: CohereRerankError) -> dict[str, Any]:
    """The output's record of a row that could not be answered. No error shows a key or a document."""
    if row.error is not None:
        error = row.error
    is_ours = isinstance(error, InvalidRequestError)
    told: dict[str, Any] = {
        "type": type(error).__name__,
        "message": f"{row.place}: {error.message}" if is_ours else error.message,
    }
    if isinstance(error, ApiError) and error.status_code is not None:
        told["status_code"] = error.status_code
    if error.request_id is not None:
        told["request_id"] = error.request_id
    if error.attempts:
        told["attempts"] = error.attempts
    return {"id": row.id, "row": row.number, "error": told}


def estimated_units(row: Row) -> float:
    """What sending a row will probably cost, in search units; 0.0 if it cannot be sent."""
    if row.error is not None:
        return 0.0
    priced: dict[str, Any] = {name: row.request.get(name) for name in _THAT_COST}
    try:
        return float(estimate_search_units(**priced))
    except InvalidRequestError:
        return 0.0
