"""The answers of a fallback chain when the API failed, marked as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from cohere_rerank._result_base import replace
from cohere_rerank._wire.contract import DEFAULT_V1_MODEL
from cohere_rerank._wire.json_body import dump_json
from cohere_rerank._wire.response import with_scale
from cohere_rerank.errors import CohereRerankError, ScorerError
from cohere_rerank.types import ApiMeta, V2RerankResponse
from cohere_rerank.types.parsing import attach, parse_response, unscored

from .endpoint import UNLIMITED, handle
from .registry import as_scorer, get_scorer
from .request import FIELDS
from .scorer import Scorer

if TYPE_CHECKING:
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import RerankArguments


KEEP_ORDER = "keep-order"


def fallback_response(call: Call, error: CohereRerankError, member: Any) -> V2RerankResponse:
    """Return the answer of one member of the fallback chain, over the whole list.

    Args:
        call: The call that failed. The API may have answered parts of it.
        error: The failure of the API. Its text is added to ``meta.warnings``.
        member: ``"local"``, ``"keep-order"``, a scorer, or a function of (query, documents).

    Raises:
        ScorerError: The fallback failed too. The text contains both failures.
    """
    if member == KEEP_ORDER:
        return adopt(unscored(len(call.texts)), call, error, KEEP_ORDER)
    scorer: Scorer = get_scorer("lexical") if member == "local" else as_scorer(member)
    known = _fields_of(call)
    try:
        status, _, body = handle(dump_json(known), lambda _model: scorer, UNLIMITED)
    except ScorerError as failure:
        raise ScorerError(f"{error}; then the fallback failed: {failure}") from failure
    if status != 200:
        raise ScorerError(f"{error}; then the fallback rejected the request: {from_json(body)['message']}")
    return adopt(with_scale(parse_response(body), "unit"), call, error, scorer.name)


def adopt(response: V2RerankResponse, call: Call, error: CohereRerankError, answered_by: str) -> V2RerankResponse:
    """Return the response of a fallback as the answer to the call: cut, marked, with the caller's documents."""
    meta = response.meta or ApiMeta()
    warnings = [f"the fallback {answered_by} answered, because the API could not: {error}", *(meta.warnings or ())]
    adopted: V2RerankResponse = replace(
        response, results=response.results[: call.top_n], meta=replace(meta, warnings=warnings)
    )
    attach(adopted, call.documents, call.texts, call.indices, is_fallback=True, answered_by=answered_by)
    return adopted if call.min_score is None else adopted.filter(min_score=call.min_score)


def arguments_for_client(call: Call, deadline_s: float) -> RerankArguments:
    """Return the arguments with which another client is asked for the answer to a call.

    Headers and parameters of the call are left out: they may hold what only the first server may see.
    """
    return {**_fields_of(call), "deadline": deadline_s}  # type: ignore[typeddict-item]


def _fields_of(call: Call) -> dict[str, Any]:
    """Return the fields of v2 of a call. A call of the v1 client may have mappings as documents, and no model."""
    given = {name: value for name, value in call.body.items() if name in FIELDS}
    return {"model": DEFAULT_V1_MODEL, **given, "documents": call.texts}
