"""The rerank dialects as translations: a request into the words of Cohere's v2, the v2 reply into theirs. Pure.

What they have in common is checked by `cohere_rerank.local.endpoint`, which answers; here only what v2 does not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cohere_rerank._tokens import estimate_tokens
from cohere_rerank._wire.documents import to_yaml
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.local.endpoint import FIELDS, MAX_FIELDS, MAX_NAME_CHARS, too_many_fields, unknown_field

from .http import Refused

Answer = dict[str, Any]
Reader = Callable[[Mapping[str, Any], str, bool], "Asked"]

V1_FIELDS = frozenset({"model", "query", "documents", "top_n", "rank_fields", "return_documents", "max_chunks_per_doc"})
JINA_FIELDS = FIELDS | {"return_documents"}
TEI_FIELDS = frozenset({"query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction"})
_TYPES = {"query": (str, "a string"), "documents": (list, "a list"), "texts": (list, "a list")}
_MAX_CHUNKS = 10_000  # of v1: documents times chunks must stay below
_SHOWN_FIELDS = 5
_LEAST_ODDS = 1e-9  # the logit of 0 would be infinite, which JSON does not know
_NO_TEXT = "document does not have a 'snippet' or a 'text' field that can be used for chunking and reranking"


@dataclass(frozen=True)
class Asked:
    """A request in the words of v2.

    Attributes:
        body: Of a ``POST /v2/rerank``.
        form: Makes the dialect's reply of the v2 one, which it may change.
        ignored: Names of the fields that had no effect.
    """

    body: dict[str, Any]
    form: Callable[[Answer], Any]
    ignored: tuple[str, ...] = ()

    def answered(self, reply: Answer) -> Any:
        """The dialect's reply; its warnings say what was ignored."""
        if self.ignored:
            names = ", ".join(repr(name[:MAX_NAME_CHARS]) for name in self.ignored[:_SHOWN_FIELDS])
            more = len(self.ignored) - _SHOWN_FIELDS
            warning = f"fields without effect here: {names}" + (f" and {more} more" if more > 0 else "")
            meta = reply.setdefault("meta", {})
            meta["warnings"] = [*(meta.get("warnings") or []), warning]
        return self.form(reply)


def v2(request: Mapping[str, Any], _model: str, is_strict: bool) -> Asked:
    """Cohere's v2. Unless strict, null stands for nothing, and ``return_documents`` does what it does in v1."""
    if is_strict:
        _check_types(request)
        return Asked(dict(request), _unchanged)  # the endpoint is as strict as the API
    body, ignored = _known(request, JINA_FIELDS, is_strict)
    is_echo = _flag(body, "return_documents", default=False)
    echoes = [{"text": text} for text in _listed(body.get("documents"))]
    return Asked(body, _with_echoes(echoes) if is_echo else _unchanged, ignored)


def v1(request: Mapping[str, Any], model: str, is_strict: bool) -> Asked:
    """Cohere's v1: documents may be objects, of which ``text`` or the ``rank_fields`` count."""
    body, ignored = _known(request, V1_FIELDS if is_strict else V1_FIELDS | FIELDS, is_strict)
    body.setdefault("model", model)
    is_echo = _flag(body, "return_documents", default=False)
    documents = _listed(body.get("documents"))
    _check_chunks(body.pop("max_chunks_per_doc", None), len(documents))
    fields = _rank_fields(body.pop("rank_fields", None))
    if documents:
        body["documents"] = [_v1_text(document, index, fields) for index, document in enumerate(documents)]
    echo = _with_echoes([{"text": item} if isinstance(item, str) else item for item in documents])

    def form(reply: Answer) -> Answer:
        if "meta" in reply:
            reply["meta"]["api_version"] = {"version": "1"}
        return echo(reply) if is_echo else reply

    return Asked(body, form, ignored)


def jina(request: Mapping[str, Any], model: str, is_strict: bool) -> Asked:
    """Jina's and vLLM's form: 0 means no limit, documents are echoed unless told not to."""
    body, ignored = _known(request, JINA_FIELDS, is_strict)
    for name in ("top_n", "max_tokens_per_doc"):
        if body.get(name) == 0 and body[name] is not False:
            del body[name]
    body.setdefault("model", model)
    is_echo = _flag(body, "return_documents", default=True)
    if isinstance(body.get("documents"), list):
        body["documents"] = [_text_of(document) for document in body["documents"]]
    texts = _listed(body.get("documents"))
    echo = _with_echoes([{"text": text} for text in texts])

    def form(reply: Answer) -> Answer:
        n_tokens = sum(map(estimate_tokens, texts)) + len(texts) * estimate_tokens(body["query"])
        about = {"model": body["model"], "object": "list"}
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        return {**about, **(echo(reply) if is_echo else reply), "usage": usage}

    return Asked(body, form, ignored)


def tei(request: Mapping[str, Any], model: str, is_strict: bool) -> Asked:
    """The form of Text Embeddings Inference: ``texts`` in, a bare array out."""
    known, ignored = _known(request, TEI_FIELDS if is_strict else TEI_FIELDS | {"top_n", "model"}, is_strict)
    texts = known.pop("texts", None)
    is_echo = _flag(known, "return_text", default=False)
    is_raw = _flag(known, "raw_scores", default=False)
    body: dict[str, Any] = {"model": model, "documents": texts}
    body.update((name, known[name]) for name in ("model", "query", "top_n") if name in known)

    def form(reply: Answer) -> list[Answer]:
        results = []
        for item in reply["results"]:
            score = item["relevance_score"]
            result = {"index": item["index"], "score": _logit(score) if is_raw else score}
            results.append({**result, "text": texts[item["index"]]} if is_echo else result)
        return results

    return Asked(body, form, ignored)


def jina_or_tei(request: Mapping[str, Any], model: str, is_strict: bool) -> Asked:
    """The two forms share the path ``/rerank``; only one of them calls its documents ``texts``."""
    reader = tei if "texts" in request and "documents" not in request else jina
    return reader(request, model, is_strict)


def _known(request: Mapping[str, Any], names: Iterable[str], is_strict: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields that count, and the names of the others."""
    if len(request) > MAX_FIELDS:
        raise Refused(400, too_many_fields(len(request)))
    known = set(names)
    unknown = tuple(sorted(request.keys() - known))
    if is_strict and unknown:
        raise Refused(422, unknown_field(unknown[0]))
    kept = {name: value for name, value in request.items() if name in known}
    _check_types(kept)
    return kept if is_strict else _tolerated(kept), unknown


def _check_types(fields: Mapping[str, Any]) -> None:
    """Say of the main fields that their type is wrong, where the endpoint would call them empty."""
    for name, (kind, words) in _TYPES.items():
        if not isinstance(fields.get(name), (kind, type(None))):
            raise Refused(422, f"invalid type: parameter '{name}' must be {words}")


def _tolerated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without nulls, and with 3 for 3.0: some languages have but one kind of number."""
    return {name: _plain(value) for name, value in fields.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _tolerated(value) if isinstance(value, dict) else value


def _flag(body: dict[str, Any], name: str, *, default: bool) -> bool:
    """Take a yes or no out of the body."""
    value = body.pop(name, default)
    if not isinstance(value, bool):
        raise Refused(422, f"invalid type: parameter '{name}' must be true or false")
    return value


def _listed(documents: Any) -> Sequence[Any]:
    return documents if isinstance(documents, list) else ()


def _unchanged(reply: Answer) -> Answer:
    return reply


def _with_echoes(echoes: Sequence[Any]) -> Callable[[Answer], Answer]:
    def form(reply: Answer) -> Answer:
        for item in reply["results"]:
            item["document"] = echoes[item["index"]]
        return reply

    return form


def _check_chunks(chunks: Any, n_documents: int) -> None:
    if chunks is None:
        return
    if type(chunks) is not int:
        raise Refused(422, "invalid type: parameter 'max_chunks_per_doc' must be an integer")
    if chunks < 1:
        raise Refused(400, "invalid request: max_chunks_per_doc must be at least 1")
    if chunks * n_documents >= _MAX_CHUNKS:
        raise Refused(
            400,
            "invalid request: number of total max chunks (number of documents * max chunks per doc) must be less "
            f"than {_MAX_CHUNKS}",
        )


def _rank_fields(fields: Any) -> list[str] | None:
    if fields is None:
        return None
    if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
        raise Refused(422, "invalid type: parameter 'rank_fields' must be a list of strings")
    if not fields:
        raise Refused(
            400,
            "invalid request: rank_fields cannot be empty, it must either contain at least one field or be omitted",
        )
    return fields


def _v1_text(document: Any, index: int, fields: Sequence[str] | None) -> Any:
    """The text that counts; what is neither text nor object is left to the endpoint, which refuses it."""
    if not isinstance(document, dict):
        return document
    if fields is not None:
        try:
            return to_yaml(document, index=index, rank_fields=fields)
        except InvalidRequestError:
            message = f"invalid request: document at index {index} has none of the rank_fields, or cannot be written"
            raise Refused(400, message) from None
    text = document.get("text", document.get("snippet"))
    if text is None:
        raise Refused(400, _NO_TEXT)
    return text


def _text_of(document: Any) -> Any:
    """The text of ``{"text": ...}``; all else is left to the endpoint."""
    if isinstance(document, dict) and isinstance(document.get("text"), str):
        return document["text"]
    return document


def _logit(score: float) -> float:
    return math.log(max(score, _LEAST_ODDS) / max(1.0 - score, _LEAST_ODDS))
