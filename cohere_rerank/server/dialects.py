"""Rerank dialects: each parser turns a request into Cohere's v2, and the v2 reply into its own form. Pure.

`cohere_rerank.local.endpoint` validates what all dialects share. The parsers validate only what v2 does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cohere_rerank._tokens import estimate_tokens
from cohere_rerank._wire.contract import MAX_DOCUMENTS
from cohere_rerank._wire.documents import to_yaml
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.local.request import FIELDS, MAX_FIELDS, MAX_NAME_CHARS, too_many_fields, unknown_field

from .http import HttpError

ReplyData = dict[str, Any]
Parser = Callable[[Mapping[str, Any], str, bool], "V2Request"]

V1_FIELDS = frozenset({"model", "query", "documents", "top_n", "rank_fields", "return_documents", "max_chunks_per_doc"})
JINA_FIELDS = FIELDS | {"return_documents"}
TEI_FIELDS = frozenset({"query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction"})
_TYPES = {"query": (str, "a string"), "documents": (list, "a list"), "texts": (list, "a list")}
_MAX_TOTAL_CHUNKS = 10_000  # v1: the number of documents times max_chunks_per_doc must be below
_MAX_NAMED_FIELDS = 5
_MIN_ODDS = 1e-9  # the logit of 0 would be infinite, and JSON has no infinity
_FOR_EMPTY = "-"  # ranked in place of an empty document: the API rejects a list that has one
_NO_TEXT = "document does not have a 'snippet' or a 'text' field that can be used for chunking and reranking"


@dataclass(frozen=True)
class V2Request:
    """A request in the terms of v2.

    Attributes:
        body: The body of a ``POST /v2/rerank``.
        to_dialect: Turns the v2 reply into the dialect's reply. It may change the v2 reply.
        ignored: The names of the fields that had no effect.
        n_empty: The number of empty documents, which were replaced.
    """

    body: dict[str, Any]
    to_dialect: Callable[[ReplyData], Any]
    ignored: tuple[str, ...] = ()
    n_empty: int = 0

    def encode_reply(self, reply: ReplyData) -> Any:
        """Return the dialect's reply. Warnings name the ignored fields and count the empty documents."""
        warnings = []
        if self.ignored:
            names = ", ".join(repr(name[:MAX_NAME_CHARS]) for name in self.ignored[:_MAX_NAMED_FIELDS])
            n_more = len(self.ignored) - _MAX_NAMED_FIELDS
            warnings.append(f"fields without effect here: {names}" + (f" and {n_more} more" if n_more > 0 else ""))
        if self.n_empty:
            warnings.append(f"empty documents, ranked as {_FOR_EMPTY!r}: {self.n_empty}")
        if warnings:
            meta = reply.setdefault("meta", {})
            meta["warnings"] = [*(meta.get("warnings") or []), *warnings]
        return self.to_dialect(reply)


def _tolerant(body: dict[str, Any], to_dialect: Callable[[ReplyData], Any], ignored: tuple[str, ...]) -> V2Request:
    """Return a request in which empty documents are replaced: applications send them, and need a score for each."""
    documents = body.get("documents")
    if not isinstance(documents, list) or "" not in documents:
        return V2Request(body, to_dialect, ignored)
    filled = [_FOR_EMPTY if text == "" else text for text in documents]
    return V2Request({**body, "documents": filled}, to_dialect, ignored, documents.count(""))


def parse_v2(request: Mapping[str, Any], _model: str, is_strict: bool) -> V2Request:
    """Parse Cohere's v2. Unless strict, a null means an omitted field, and ``return_documents`` works as in v1."""
    if is_strict:
        _check_types(request)
        return V2Request(dict(request), _identity)  # the endpoint is as strict as the API
    body, ignored = _select_fields(request, JINA_FIELDS, is_strict)
    returns_documents = _pop_flag(body, "return_documents", default=False)
    to_dialect = _with_documents(_as_objects(_as_list(body.get("documents")))) if returns_documents else _identity
    return _tolerant(body, to_dialect, ignored)


def parse_v1(request: Mapping[str, Any], model: str, is_strict: bool) -> V2Request:
    """Parse Cohere's v1. A document may be an object; its ``text`` or its ``rank_fields`` are ranked."""
    body, ignored = _select_fields(request, V1_FIELDS if is_strict else V1_FIELDS | FIELDS, is_strict)
    body.setdefault("model", model)
    returns_documents = _pop_flag(body, "return_documents", default=False)
    documents = _as_list(body.get("documents"))
    _check_chunks(body.pop("max_chunks_per_doc", None), len(documents))
    rank_fields = _check_rank_fields(body.pop("rank_fields", None))
    if 0 < len(documents) <= MAX_DOCUMENTS:  # the endpoint rejects longer lists
        body["documents"] = [_v1_text(document, index, rank_fields) for index, document in enumerate(documents)]
    add_documents = _with_documents(_as_objects(documents)) if returns_documents else _identity

    def to_dialect(reply: ReplyData) -> ReplyData:
        if "meta" in reply:
            reply["meta"]["api_version"] = {"version": "1"}
        return add_documents(reply)

    return V2Request(body, to_dialect, ignored) if is_strict else _tolerant(body, to_dialect, ignored)


def parse_jina(request: Mapping[str, Any], model: str, is_strict: bool) -> V2Request:
    """Parse the form of Jina and vLLM. There 0 means no limit, and the reply contains the documents by default."""
    body, ignored = _select_fields(request, JINA_FIELDS, is_strict)
    for name in ("top_n", "max_tokens_per_doc"):
        if body.get(name) == 0 and body[name] is not False:
            del body[name]
    body.setdefault("model", model)
    returns_documents = _pop_flag(body, "return_documents", default=True)
    if isinstance(body.get("documents"), list):
        body["documents"] = [_text_of(document) for document in body["documents"]]
    texts = _as_list(body.get("documents"))
    add_documents = _with_documents(_as_objects(texts)) if returns_documents else _identity

    def to_dialect(reply: ReplyData) -> ReplyData:
        n_tokens = sum(map(estimate_tokens, texts)) + len(texts) * estimate_tokens(body["query"])
        head = {"model": body["model"], "object": "list"}
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        return {**head, **add_documents(reply), "usage": usage}

    return V2Request(body, to_dialect, ignored) if is_strict else _tolerant(body, to_dialect, ignored)


def parse_tei(request: Mapping[str, Any], model: str, is_strict: bool) -> V2Request:
    """Parse the form of Text Embeddings Inference: the request has ``texts``, and the reply is an array."""
    fields, ignored = _select_fields(request, TEI_FIELDS if is_strict else TEI_FIELDS | {"top_n", "model"}, is_strict)
    texts = fields.pop("texts", None)
    returns_text = _pop_flag(fields, "return_text", default=False)
    is_raw = _pop_flag(fields, "raw_scores", default=False)
    body: dict[str, Any] = {"model": model, "documents": texts}
    body.update((name, fields[name]) for name in ("model", "query", "top_n") if name in fields)

    def to_dialect(reply: ReplyData) -> list[ReplyData]:
        results = []
        for item in reply["results"]:
            score = item["relevance_score"]
            result = {"index": item["index"], "score": _logit(score) if is_raw else score}
            results.append({**result, "text": texts[item["index"]]} if returns_text else result)
        return results

    return V2Request(body, to_dialect, ignored) if is_strict else _tolerant(body, to_dialect, ignored)


def parse_jina_or_tei(request: Mapping[str, Any], model: str, is_strict: bool) -> V2Request:
    """Parse either of the two forms that share the path ``/rerank``. Only one of them has ``texts``."""
    parse = parse_tei if "texts" in request and "documents" not in request else parse_jina
    return parse(request, model, is_strict)


def _select_fields(
    request: Mapping[str, Any], names: Iterable[str], is_strict: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields with these names, and the sorted names of the others."""
    if len(request) > MAX_FIELDS:
        raise HttpError(400, too_many_fields(len(request)))
    known = set(names)
    unknown = tuple(sorted(request.keys() - known))
    if is_strict and unknown:
        raise HttpError(422, unknown_field(unknown[0]))
    fields = {name: value for name, value in request.items() if name in known}
    _check_types(fields)
    return fields if is_strict else _normalize(fields), unknown


def _check_types(fields: Mapping[str, Any]) -> None:
    """Report a wrong type of the main fields. The endpoint would report it as an empty value."""
    for name, (kind, words) in _TYPES.items():
        if not isinstance(fields.get(name), (kind, type(None))):
            raise HttpError(422, f"invalid type: parameter '{name}' must be {words}")


def _normalize(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Remove nulls, and turn 3.0 into 3, because some languages have only one number type."""
    return {name: _normalize_value(value) for name, value in fields.items() if value is not None}


def _normalize_value(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _normalize(value) if isinstance(value, dict) else value


def _pop_flag(body: dict[str, Any], name: str, *, default: bool) -> bool:
    """Remove a boolean from the body and return it."""
    value = body.pop(name, default)
    if not isinstance(value, bool):
        raise HttpError(422, f"invalid type: parameter '{name}' must be true or false")
    return value


def _as_list(documents: Any) -> Sequence[Any]:
    return documents if isinstance(documents, list) else ()


def _as_objects(documents: Sequence[Any]) -> list[Any]:
    return [{"text": item} if isinstance(item, str) else item for item in documents]


def _identity(reply: ReplyData) -> ReplyData:
    return reply


def _with_documents(documents: Sequence[Any]) -> Callable[[ReplyData], ReplyData]:
    """Return a function that adds its document to each result of a reply."""

    def add_documents(reply: ReplyData) -> ReplyData:
        for item in reply["results"]:
            item["document"] = documents[item["index"]]
        return reply

    return add_documents


def _check_chunks(chunks: Any, n_documents: int) -> None:
    if chunks is None:
        return
    if type(chunks) is not int:
        raise HttpError(422, "invalid type: parameter 'max_chunks_per_doc' must be an integer")
    if chunks < 1:
        raise HttpError(400, "invalid request: max_chunks_per_doc must be at least 1")
    if chunks * n_documents >= _MAX_TOTAL_CHUNKS:
        raise HttpError(
            400,
            "invalid request: number of total max chunks (number of documents * max chunks per doc) must be less "
            f"than {_MAX_TOTAL_CHUNKS}",
        )


def _check_rank_fields(fields: Any) -> list[str] | None:
    if fields is None:
        return None
    if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
        raise HttpError(422, "invalid type: parameter 'rank_fields' must be a list of strings")
    if len(fields) > MAX_FIELDS:  # each document is searched for each of them
        raise HttpError(400, f"invalid request: rank_fields must have at most {MAX_FIELDS} fields, got {len(fields)}")
    if not fields:
        raise HttpError(
            400,
            "invalid request: rank_fields cannot be empty, it must either contain at least one field or be omitted",
        )
    return fields


def _v1_text(document: Any, index: int, rank_fields: Sequence[str] | None) -> Any:
    """Return the text to rank. The endpoint rejects what is neither a string nor an object."""
    if not isinstance(document, dict):
        return document
    if rank_fields is not None:
        try:
            return to_yaml(document, index=index, rank_fields=rank_fields)
        except InvalidRequestError:
            message = f"invalid request: document at index {index} has none of the rank_fields, or cannot be written"
            raise HttpError(400, message) from None
    text = document.get("text", document.get("snippet"))
    if text is None:
        raise HttpError(400, _NO_TEXT)
    return text


def _text_of(document: Any) -> Any:
    """Return the text of ``{"text": ...}``. The endpoint handles everything else."""
    if isinstance(document, dict) and isinstance(document.get("text"), str):
        return document["text"]
    return document


def _logit(score: float) -> float:
    return math.log(max(score, _MIN_ODDS) / max(1.0 - score, _MIN_ODDS))
