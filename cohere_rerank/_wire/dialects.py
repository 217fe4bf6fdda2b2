"""How other servers spell the rerank API: paths, field names, replies. Pure; loaded only where one is asked for.

Sources: the released code of vLLM, infinity, text-embeddings-inference (TEI), llama.cpp and Xinference, and the API
references of Cohere (v1), Jina and Voyage, all as of November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    from .call import Part

_COHERE_ONLY = ("max_tokens_per_doc", "priority", "relevant_spans")


class Dialect(NamedTuple):
    """One way to ask.

    Attributes:
        path: What follows the address, unless that is a full endpoint already.
        documents: What the field with the documents is called.
        dropped: Fields that the server does not know and whose work the client does itself, or that mean nothing there.
        refused: Arguments that the server cannot honour.
        constants: Fields that are always sent.
    """

    name: str
    path: str
    documents: str = "documents"
    dropped: tuple[str, ...] = ()
    refused: tuple[str, ...] = _COHERE_ONLY
    constants: tuple[tuple[str, Any], ...] = ()

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A v2 body in this dialect.

        Raises:
            InvalidRequestError: It asks for what this dialect has no word for.
        """
        for name in self.refused:
            if name in body:
                raise InvalidRequestError(f"{name} has no counterpart in the {self.name} dialect; leave it out")
        kept = {name: value for name, value in body.items() if name not in self.dropped and name != "documents"}
        return {**dict(self.constants), **kept, self.documents: body["documents"]}

    def url(self, address: str) -> str:
        """Where requests go: a base, a base with a version, or the full endpoint itself."""
        address = address.rstrip("/")
        base, _, last = address.rpartition("/")
        if last in ("rerank", "reranking"):
            return address
        return f"{base if last in ('v1', 'v2') else address}/{self.path}"


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("cohere", "v2/rerank", refused=()),
        Dialect("v1", "v1/rerank", constants=(("return_documents", False),)),
        Dialect("jina", "v1/rerank", constants=(("return_documents", False),)),
        # Without truncate, one document past the model's context fails the whole request.
        Dialect("tei", "rerank", documents="texts", dropped=("model", "top_n"), constants=(("truncate", True),)),
        Dialect("llamacpp", "v1/rerank"),
    )
}

# What "auto" tries, until a server does not say that it has no such path or field. Plain `documents` without
# constants is what every server under /v1/rerank takes; a server without versions may want either of the last two.
_PROBES = (
    DIALECTS["cohere"],
    DIALECTS["llamacpp"]._replace(name="v1"),
    Dialect("jina", "rerank"),
    DIALECTS["tei"],
)
_NO_SUCH_PATH = (404, 405)
_NO_SUCH_FIELD = (400, 422)

LOGIT = "logit"
_LISTS = ("results", "data", "rankings")
_SCORES = ("relevance_score", "relevanceScore", "score", "logit")
_ECHOES = ("document", "text", "input")


def first(name: str) -> Dialect:
    """The dialect of this name; for "auto" the one to try first."""
    return _PROBES[0] if name == "auto" else DIALECTS[name]


def after(tried: Dialect, address: str, status: int, content: bytes) -> Dialect | None:
    """What to try next after this reply, or None if it is not the dialect that is wrong.

    A 404 about a model is an answer; a 400 or 422 is one too, unless it is about a field of the request's form.
    """
    rest = _PROBES[_PROBES.index(tried) + 1 :]
    if status in _NO_SUCH_PATH and b"model" not in content.lower():
        return next((other for other in rest if other.url(address) != tried.url(address)), None)
    if status in _NO_SUCH_FIELD and b"texts" in content:
        return DIALECTS["tei"] if DIALECTS["tei"] in rest else None
    return None


def translated(content: bytes, part: Part) -> bytes:
    """A reply of any of these servers as a v2 reply; what is no ranking at all is left to fail as it is.

    Results stand under ``results``, ``data``, ``rankings`` or in a bare array, a score under any of four names.
    Echoes of documents are dropped: results refer to the caller's own. Scores stay as they are; ``score_scale`` says
    "logit" where the server is known to send logits, or a score lies outside [0, 1], and "unit" otherwise. A server
    that knows no ``top_n`` has its results cut.

    Raises:
        ValueError: It is not JSON.
    """
    reply = from_json(content)
    found = reply if isinstance(reply, list) else _first_list(reply)
    if found is None:
        return content
    results = [_result(item) for item in found]
    scores = [score for item in results if isinstance(score := item.get("relevance_score"), (int, float))]
    top_n = part.call.body.get("top_n")
    if top_n is not None and len(scores) == len(results):
        results = sorted(results, key=lambda item: -item["relevance_score"])[:top_n]
    rest = (
        {} if isinstance(reply, list) else {k: v for k, v in reply.items() if k not in ("results", "data", "rankings")}
    )
    is_logit = part.dialect is DIALECTS["llamacpp"] or any("logit" in item for item in found if isinstance(item, dict))
    scale = LOGIT if is_logit or not all(0 <= score <= 1 for score in scores) else "unit"
    return to_json({**rest, "results": results, "meta": _meta(rest), "score_scale": scale})


def _first_list(reply: Any) -> list[Any] | None:
    if not isinstance(reply, dict):
        return None
    return next((reply[name] for name in _LISTS if isinstance(reply.get(name), list)), None)


def _result(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {"index": item}  # which fails as a result, and says where
    score = next((item[name] for name in _SCORES if name in item), None)
    rest = {name: value for name, value in item.items() if name not in (*_SCORES, *_ECHOES)}
    return {**rest, "relevance_score": score}


def _meta(reply: Mapping[str, Any]) -> dict[str, Any]:
    """What the reply says of units and tokens, where Cohere's would say it; what is unknown stays out."""
    meta = dict(reply["meta"]) if isinstance(reply.get("meta"), dict) else {}
    usage = {**reply, **(reply["usage"] if isinstance(reply.get("usage"), dict) else {})}
    tokens = next((usage[name] for name in ("prompt_tokens", "total_tokens") if usage.get(name) is not None), None)
    if tokens is not None and not meta.get("tokens"):
        meta["tokens"] = {"input_tokens": tokens}
    if usage.get("rerank_units") is not None and not meta.get("billed_units"):
        meta["billed_units"] = {"rerank_units": usage["rerank_units"]}
    return meta
