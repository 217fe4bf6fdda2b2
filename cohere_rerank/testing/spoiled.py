"""A good answer made wrong, in each of the ways that have been seen, or that a client must survive."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["SPOILED", "spoiled"]

_DEPTH = 100_000
_PAGE = b"<!doctype html><html><body><h1>Sign in to continue</h1></body></html>"


def spoiled(body: bytes, wrong: str, n_documents: int) -> tuple[str, bytes]:
    """Content type and body of the wrong answer.

    Args:
        body: A good one, JSON with at least one result.
        wrong: Which way; a key of `SPOILED`.
        n_documents: How many the request has.
    """
    return ("text/html" if wrong == "html" else "application/json"), SPOILED[wrong](body, n_documents)


def _with(change: Callable[[dict[str, Any], int], object]) -> Callable[[bytes, int], bytes]:
    def spoil(body: bytes, n_documents: int) -> bytes:
        answer = json.loads(body)
        change(answer, n_documents)
        return json.dumps(answer).encode()

    return spoil


def _first(field: str, value: Callable[[int], object]) -> Callable[[bytes, int], bytes]:
    return _with(lambda answer, n: answer["results"][0].update({field: value(n)}))


SPOILED: dict[str, Callable[[bytes, int], bytes]] = {
    "cut-json": lambda body, _n: body[: len(body) // 2],
    "html": lambda _body, _n: _PAGE,
    "empty": lambda _body, _n: b"",
    "bad-utf-8": lambda body, _n: body.replace(b'"id":"', b'"id":"\xff', 1),
    "deep-json": lambda _body, _n: b'{"results": ' + b"[" * _DEPTH + b"]" * _DEPTH + b"}",
    "bare-list": lambda body, _n: json.dumps(json.loads(body)["results"]).encode(),
    "no-results": _with(lambda answer, _n: answer.pop("results")),
    "null-results": _with(lambda answer, _n: answer.update(results=None)),
    "index-too-large": _first("index", lambda n: n),
    "index-negative": _first("index", lambda _n: -1),
    "index-twice": _with(lambda answer, _n: answer["results"].append(answer["results"][0])),
    "score-text": _first("relevance_score", lambda _n: "high"),
    "score-nan": _first("relevance_score", lambda _n: float("nan")),
    "score-missing": _with(lambda answer, _n: answer["results"][0].pop("relevance_score")),
    "unsorted": _with(lambda answer, _n: answer["results"].reverse()),
}
