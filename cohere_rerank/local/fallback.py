"""The response of the local engine when the API failed, marked as a fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from cohere_rerank._wire.call import dump_json
from cohere_rerank.errors import CohereRerankError, ScorerError
from cohere_rerank.types import V2RerankResponse, attach, parse_response

from .endpoint import UNLIMITED, handle
from .registry import as_scorer, get_scorer
from .request import FIELDS
from .scorer import Scorer

if TYPE_CHECKING:
    from cohere_rerank._wire.call import Call


def fallback_response(call: Call, error: CohereRerankError, fallback: Any) -> V2RerankResponse:
    """Score the whole list locally, even if the API has answered parts of it.

    Args:
        call: The call that failed.
        error: The failure of the API. Its text is added to ``meta.warnings``.
        fallback: ``"local"``, a scorer, or a function of (query, documents).

    Raises:
        ScorerError: The fallback failed too. The text contains both failures.
    """
    scorer: Scorer = get_scorer("lexical") if fallback == "local" else as_scorer(fallback)
    known = {name: value for name, value in call.body.items() if name in FIELDS}
    try:
        status, _, body = handle(dump_json(known), lambda _model: scorer, UNLIMITED)
    except ScorerError as failure:
        raise ScorerError(f"{error}; then the fallback failed: {failure}") from failure
    reply = from_json(body)
    if status != 200:
        raise ScorerError(f"{error}; then the fallback rejected the request: {reply['message']}")
    reply["meta"]["warnings"].insert(0, f"a fallback answered, because the API could not: {error}")
    response = attach(parse_response(to_json(reply)), call.documents, call.texts, call.indices, is_fallback=True)
    return response if call.min_score is None else response.filter(min_score=call.min_score)
