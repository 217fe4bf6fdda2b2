"""The rerank APIs of other servers: paths, field names, replies. Pure. Loaded only if a client names a dialect.

Sources: the released code of vLLM, infinity, text-embeddings-inference (TEI), llama.cpp and Xinference, and the API
references of Cohere (v1), Jina and Voyage, all as of November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json, to_json

from cohere_rerank._addresses import ENDPOINT_NAMES
from cohere_rerank._error_bodies import KEY_HINT
from cohere_rerank.errors import ApiError, InvalidRequestError, error_from_response

_COHERE_ONLY = ("max_tokens_per_doc", "priority", "relevant_spans")


class BaseDialect:
    """The form of the requests and the replies of one kind of server.

    Attributes:
        name: The name of the dialect, in messages.
        has_model_in_url: Whether the address of a request depends on its model.
        has_pages: Whether a reply can say that more results follow.
        key_hint: What to check after a 401. None: the key of Cohere.
    """

    name: str
    key_hint: str | None = None
    has_model_in_url = False
    has_pages = False

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a v2 body in this dialect.

        Raises:
            InvalidRequestError: The body uses an argument that this dialect does not support.
        """
        raise NotImplementedError

    def url(self, address: str, body: Mapping[str, Any]) -> str:
        """Return the URL of a request with this v2 body. *address* is the client's."""
        raise NotImplementedError

    def to_v2(self, content: bytes, headers: Mapping[str, str], top_n: int | None) -> bytes:  # noqa: ARG002
        """Return the body of a reply in the form of v2. Names of headers are in lower case.

        Raises:
            ValueError: The reply is not JSON.
        """
        return to_v2_reply(content, self, top_n)

    def error(self, status: int, headers: Mapping[str, str], body: Any) -> ApiError:
        """Return the error for a reply with this status and parsed body."""
        error = error_from_response(status, headers, body)
        if self.key_hint is not None:
            error.message = error.message.replace(KEY_HINT, f"; {self.key_hint}")
        return error

    def next_page(self, content: bytes) -> BaseDialect | None:  # noqa: ARG002
        """Return the dialect of the request for the results after this reply, or None if there are no more."""
        return None


@dataclass(frozen=True)
class Dialect(BaseDialect):
    """A dialect that differs from v2 in its path and in names of fields.

    Attributes:
        name: The value of ``dialect=``.
        path: What follows the address, unless the address is a full endpoint already.
        documents_field: The name of the field with the documents.
        dropped_fields: Fields that are not sent, because the client does their work or they mean nothing there.
        unsupported: Arguments that the server has no field for. A call that uses one fails.
        fixed_fields: Fields that are always sent.
    """

    name: str
    path: str
    documents_field: str = "documents"
    dropped_fields: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = _COHERE_ONLY
    fixed_fields: tuple[tuple[str, Any], ...] = ()

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a v2 body in this dialect."""
        for name in self.unsupported:
            if name in body:
                raise InvalidRequestError(f"{name} is not supported by the {self.name} dialect; leave it out")
        kept = {name: value for name, value in body.items() if name not in self.dropped_fields and name != "documents"}
        return {**dict(self.fixed_fields), **kept, self.documents_field: body["documents"]}

    def url(self, address: str, body: Mapping[str, Any] | None = None) -> str:  # noqa: ARG002
        """Return the URL of requests. The address is a base, a base with a version, or the full endpoint."""
        address = address.rstrip("/")
        base, _, last = address.rpartition("/")
        if last in ENDPOINT_NAMES:
            return address
        return f"{base if last in ('v1', 'v2') else address}/{self.path}"


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("cohere", "v2/rerank", unsupported=()),
        Dialect("v1", "v1/rerank", fixed_fields=(("return_documents", False),)),
        Dialect("jina", "v1/rerank", fixed_fields=(("return_documents", False),)),
        # Without truncate, one document past the model's context fails the whole request.
        Dialect(
            "tei",
            "rerank",
            documents_field="texts",
            dropped_fields=("model", "top_n"),
            fixed_fields=(("truncate", True),),
        ),
        Dialect("llamacpp", "v1/rerank"),
    )
}

# The order in which "auto" tries dialects. Every server under /v1/rerank accepts plain `documents` without fixed
# fields. A server without versions has one of the last two.
_AUTO_ORDER: tuple[Dialect, ...] = (
    DIALECTS["cohere"],
    replace(DIALECTS["llamacpp"], name="v1"),
    Dialect("jina", "rerank"),
    DIALECTS["tei"],
)
_UNKNOWN_PATH = (404, 405)  # statuses
_UNKNOWN_FIELD = (400, 422)

LOGIT = "logit"
_RESULT_KEYS = ("results", "data", "rankings")
_SCORE_KEYS = ("relevance_score", "relevanceScore", "score", "logit")
_ECHO_KEYS = ("document", "text", "input")


def initial_dialect(name: str) -> Dialect:
    """Return the dialect of this name; for "auto" the one to try first."""
    return _AUTO_ORDER[0] if name == "auto" else DIALECTS[name]


def next_dialect(tried: BaseDialect, address: str, status: int, content: bytes) -> Dialect | None:
    """Return the dialect to try after this reply, or None if the reply is not about the form of the request.

    A 404 about a model is final. So is a 400 or 422, unless it is about a field that only another dialect has.
    """
    rest = _AUTO_ORDER[_AUTO_ORDER.index(tried) + 1 :]
    if status in _UNKNOWN_PATH and b"model" not in content.lower():
        return next((other for other in rest if other.url(address) != tried.url(address, {})), None)
    if status in _UNKNOWN_FIELD and b"texts" in content:
        return DIALECTS["tei"] if DIALECTS["tei"] in rest else None
    return None


def to_v2_reply(content: bytes, dialect: BaseDialect, top_n: int | None) -> bytes:
    """Return a reply of any of these servers in the form of v2, or as it is if it contains no ranking.

    Results are under ``results``, ``data`` or ``rankings``, or the reply is a bare array. A score has one of four
    names. Echoed documents are dropped, because results refer to the caller's own. Scores are not changed.
    ``score_scale`` is added if the form of the reply or the kind of server shows it. Results beyond *top_n* are cut.

    Raises:
        ValueError: The reply is not JSON.
    """
    reply = from_json(content)
    found = reply if isinstance(reply, list) else _find_results(reply)
    if found is None:
        return content
    results = [_to_v2_result(item) for item in found]
    scores = [score for item in results if isinstance(score := item.get("relevance_score"), (int, float))]
    if top_n is not None and len(scores) == len(results):
        results = sorted(results, key=lambda item: -item["relevance_score"])[:top_n]
    rest = {} if isinstance(reply, list) else {k: v for k, v in reply.items() if k not in _RESULT_KEYS}
    is_logit = dialect is DIALECTS["llamacpp"] or any("logit" in item for item in found if isinstance(item, dict))
    scale = LOGIT if is_logit else "unit" if dialect is DIALECTS["tei"] else rest.get("score_scale")
    return to_json({**rest, "results": results, "meta": _to_v2_meta(rest), "score_scale": scale})


def _find_results(reply: Any) -> list[Any] | None:
    if not isinstance(reply, dict):
        return None
    return next((reply[name] for name in _RESULT_KEYS if isinstance(reply.get(name), list)), None)


def _to_v2_result(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {"index": item}  # validation will fail, and its message names the place
    score = next((item[name] for name in _SCORE_KEYS if name in item), None)
    rest = {name: value for name, value in item.items() if name not in (*_SCORE_KEYS, *_ECHO_KEYS)}
    return {**rest, "relevance_score": score}


def _to_v2_meta(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the reply says about units and tokens, under the names of v2. Unknown numbers are left out."""
    meta = dict(reply["meta"]) if isinstance(reply.get("meta"), dict) else {}
    usage = {**reply, **(reply["usage"] if isinstance(reply.get("usage"), dict) else {})}
    tokens = next((usage[name] for name in ("prompt_tokens", "total_tokens") if usage.get(name) is not None), None)
    if tokens is not None and not meta.get("tokens"):
        meta["tokens"] = {"input_tokens": tokens}
    if usage.get("rerank_units") is not None and not meta.get("billed_units"):
        meta["billed_units"] = {"rerank_units": usage["rerank_units"]}
    return meta
