"""The rerank API as one pure function: request bytes in, status, headers and reply bytes out.

The `local:` transport, the fallback, the server and the fault server all call it, so they validate requests and answer
them in the same way.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from cohere_rerank._tokens import truncate
from cohere_rerank._wire.contract import DEFAULT_MAX_TOKENS_PER_DOC, DEFAULT_SPAN_THRESHOLD, MAX_DOCUMENTS
from cohere_rerank.errors import CohereRerankError, ScorerError

from .request import RequestError, parse_json, validate
from .scorer import Scorer, check_scores
from .spans import SentenceBudget, find_spans
from .work import MAX_WORK, ScoringTimeoutError, check_deadline, scoring_until, work

if TYPE_CHECKING:
    from cohere_rerank._clock import Deadline

EndpointResponse = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Limits:
    """The limits of one request. None: unlimited.

    Attributes:
        max_documents: Documents. Default: 10,000, as in the API.
        max_values: JSON values in the body, counted before it is parsed. Default: 100,000.
        max_work: Query characters times document characters. Default: 4 billion, which is about 4 s of CPU.
        max_sentences: Sentences of the results that are searched for relevant spans. Fewer are searched if the query
            has more than 100 characters, because each sentence costs as much as the query is long. Default: 10,000.
    """

    max_documents: int | None = MAX_DOCUMENTS
    max_values: int | None = 10 * MAX_DOCUMENTS
    max_work: int | None = MAX_WORK
    max_sentences: int | None = 8_000


_MAX_SPAN_WORK = 1_000_000  # sentences times query characters, each about a microsecond
_MIN_SENTENCES = 500  # are searched for a query of any length; the lexical scorer reads its first 1,000 characters
API_LIMITS = Limits()
"""The limits for requests of other people."""

UNLIMITED = Limits(None, None, None, None)
"""No limits, for requests of the own process."""


def handle(
    body: bytes,
    scorer_for: Callable[[str], Scorer],
    limits: Limits = API_LIMITS,
    *,
    deadline: Deadline | None = None,
) -> EndpointResponse:
    """Handle one request.

    Args:
        body: A ``POST /v2/rerank`` body, JSON in UTF-8.
        scorer_for: Returns the scorer for a model name.
        limits: The limits of the request. Default: the limits of the API.
        deadline: When scoring must stop with status 503. Default: never.

    Returns:
        Status, headers and body, as the API sends them. The id depends only on the body of the request.

    Raises:
        ScorerError: The scorer failed or returned a value that is not a score. No partial ranking is returned.
    """
    reply_id = str(uuid.UUID(bytes=hashlib.blake2b(body, digest_size=16).digest(), version=4))
    try:
        request = parse_json(body, limits.max_values)
    except RequestError as error:
        status, reply = error.status, {"message": str(error)}
    else:
        status, reply = handle_parsed(request, scorer_for, limits, deadline=deadline)
    return status, {"content-type": "application/json"}, to_json({"id": reply_id, **reply})


def handle_parsed(
    request: object,
    scorer_for: Callable[[str], Scorer],
    limits: Limits = API_LIMITS,
    *,
    deadline: Deadline | None = None,
) -> tuple[int, dict[str, Any]]:
    """Handle one request that is already parsed.

    Args:
        request: The JSON value of a ``POST /v2/rerank`` body. A document that is too long is replaced by its beginning
            in the list, which saves memory. Nothing else is changed.
        scorer_for: Returns the scorer for a model name.
        limits: As for `handle`. The number of JSON values is not checked.
        deadline: As for `handle`.

    Returns:
        The status and the reply without an id. The reply of an error has a ``message`` only.

    Raises:
        ScorerError: As `handle`.
    """
    try:
        fields = validate(request, limits.max_documents)
        with scoring_until(deadline):
            return 200, _rank(fields, scorer_for(fields["model"]), limits)
    except RequestError as error:
        return error.status, {"message": str(error)}
    except ScoringTimeoutError as error:
        return 503, {"message": str(error)}


def _rank(request: Mapping[str, Any], scorer: Scorer, limits: Limits) -> dict[str, Any]:
    query = request["query"]
    max_tokens = request.get("max_tokens_per_doc", DEFAULT_MAX_TOKENS_PER_DOC)
    texts = request["documents"]
    n_cut = _cut(texts, max_tokens)
    _check_work(query, texts, limits)
    scores = _score(scorer, query, texts)
    order = sorted(range(len(texts)), key=lambda index: (-scores[index], index))
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": scores[index]} for index in order[: request.get("top_n")]
    ]
    source = f"answered by the local scorer {scorer.name} {scorer.version}, not by a Cohere model"
    warnings = [f"{source}: its scores are not comparable with Cohere's"]
    if n_cut:
        warnings.append(f"{n_cut} documents were cut to {max_tokens} tokens each, as estimated offline")
    spans = request.get("relevant_spans")
    if spans is not None and spans["mode"] == "enabled":
        max_sentences = _max_sentences(query, limits)
        by_meaning = scorer if getattr(scorer, "finds_spans", False) else None
        if not _add_spans(results, query, texts, spans, max_sentences, by_meaning):
            warnings.append(f"relevant spans were searched in the first {max_sentences} sentences of the results")
    return {
        "results": results,
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 0},
            "warnings": warnings,
        },
    }


def _cut(documents: list[str], max_tokens: int) -> int:
    """Replace each document that is too long by its beginning, in place to save memory, and return their number."""
    n_cut = 0
    for index, document in enumerate(documents):
        text = truncate(document, max_tokens)
        if len(text) < len(document):
            documents[index] = text
            n_cut += 1
    return n_cut


def _check_work(query: str, texts: Sequence[str], limits: Limits) -> None:
    total = work(query, texts)
    if limits.max_work is not None and total > limits.max_work:
        raise RequestError(
            400,
            f"invalid request: query characters times document characters must be at most {limits.max_work}, "
            f"got {total}; send fewer or shorter documents, or a shorter query",
        )


def _score(scorer: Scorer, query: str, texts: Sequence[str]) -> list[float]:
    try:
        scores = scorer.score(query, texts)
    except (CohereRerankError, ImportError, ScoringTimeoutError):
        raise
    except Exception as error:
        raise ScorerError(f"the scorer {scorer.name} failed with {type(error).__name__}: {error}") from error
    return check_scores(scorer, scores, len(texts))


def _max_sentences(query: str, limits: Limits) -> int | None:
    if limits.max_sentences is None:
        return None
    return min(limits.max_sentences, max(_MIN_SENTENCES, _MAX_SPAN_WORK // len(query)))


def _add_spans(
    results: Sequence[dict[str, Any]],
    query: str,
    texts: Sequence[str],
    options: Mapping[str, Any],
    max_sentences: int | None,
    scorer: Scorer | None,
) -> bool:
    """Add relevant spans to the results, best result first. Return False if the limit of sentences was reached."""
    threshold = options.get("threshold", DEFAULT_SPAN_THRESHOLD)
    budget = SentenceBudget(max_sentences)
    for result in results:
        check_deadline()
        index: int = result["index"]
        found = find_spans(
            query,
            texts[index],
            threshold=threshold,
            max_spans=options.get("max_spans"),
            budget=budget,
            scorer=scorer,
        )
        if found:
            result["relevant_spans"] = [{"start": start, "end": end, "score": score} for start, end, score in found]
        if budget.is_exceeded:
            return False
    return True
