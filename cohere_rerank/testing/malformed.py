"""Malformed versions of a valid reply: each kind was seen in practice, or a client must survive it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["MALFORMED", "malformed"]

_DEPTH = 100_000
_PAGE = b"<!doctype html><html><body><h1>Sign in to continue</h1></body></html>"


def malformed(body: bytes, kind: str, n_documents: int) -> tuple[str, bytes]:
    """Return the content type and the body of a malformed reply.

    Args:
        body: A valid reply: JSON with at least one result.
        kind: A key of `MALFORMED`.
        n_documents: The number of documents in the request.
    """
    return ("text/html" if kind == "html" else "application/json"), MALFORMED[kind](body, n_documents)


def _edit_reply(edit: Callable[[dict[str, Any], int], object]) -> Callable[[bytes, int], bytes]:
    def make_malformed(body: bytes, n_documents: int) -> bytes:
        reply = json.loads(body)
        edit(reply, n_documents)
        return json.dumps(reply).encode()

    return make_malformed


def _set_in_first_result(field: str, value: Callable[[int], object]) -> Callable[[bytes, int], bytes]:
    return _edit_reply(lambda reply, n: reply["results"][0].update({field: value(n)}))


MALFORMED: dict[str, Callable[[bytes, int], bytes]] = {
    "cut-json": lambda body, _n: body[: len(body) // 2],
    "html": lambda _body, _n: _PAGE,
    "empty": lambda _body, _n: b"",
    "bad-utf-8": lambda body, _n: body.replace(b'"id":"', b'"id":"\xff', 1),
    "deep-json": lambda _body, _n: b'{"results": ' + b"[" * _DEPTH + b"]" * _DEPTH + b"}",
    "bare-list": lambda body, _n: json.dumps(json.loads(body)["results"]).encode(),
    "no-results": _edit_reply(lambda reply, _n: reply.pop("results")),
    "null-results": _edit_reply(lambda reply, _n: reply.update(results=None)),
    "index-too-large": _set_in_first_result("index", lambda n: n),
    "index-negative": _set_in_first_result("index", lambda _n: -1),
    "index-twice": _edit_reply(lambda reply, _n: reply["results"].append(reply["results"][0])),
    "score-text": _set_in_first_result("relevance_score", lambda _n: "high"),
    "score-nan": _set_in_first_result("relevance_score", lambda _n: float("nan")),
    "score-missing": _edit_reply(lambda reply, _n: reply["results"][0].pop("relevance_score")),
    "unsorted": _edit_reply(lambda reply, _n: reply["results"].reverse()),
}
