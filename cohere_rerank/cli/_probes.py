"""Small rerank requests in the formats of different servers, and the meaning of the responses. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cohere_rerank._error_bodies import server_message

__all__ = ["PROBES", "Finding", "Probe", "dialect_of", "interpret", "limits", "most_severe"]

_QUERY = "capital of France"
_DOCUMENTS = ["Paris is the capital of France.", "Berlin is the capital of Germany."]
_LIMIT_MARKS = ("ratelimit", "rate-limit", "call-limit", "call-remaining", "retry-after")
_FIX_FIRST = ("key", "limits", "model", "dialect")
_MAX_MESSAGE_CHARS = 200


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        check: What was checked: address, dns, connect, tls, key, dialect, limits or latency.
        status: "ok", "warn" or "fail".
        message: What was found.
        advice: What to do, or None if nothing needs to be done.
    """

    check: str
    status: str
    message: str
    advice: str | None = None


@dataclass(frozen=True)
class Probe:
    """A path below the address of the server, and the name of the field for documents."""

    path: str
    documents: str = "documents"

    def body(self, model: str) -> dict[str, Any]:
        """Return the body of the request: one query and two documents."""
        body: dict[str, Any] = {"query": _QUERY, self.documents: _DOCUMENTS}
        return body if self.documents == "texts" else {"model": model, **body}


PROBES = (Probe("/v2/rerank"), Probe("/v1/rerank"), Probe("/rerank"), Probe("/rerank", "texts"))


def dialect_of(path: str, reply: Any) -> str | None:
    """Return the dialect of a successful response: cohere, v1, jina, llamacpp or tei; None if it is another format.

    A list of llama.cpp has no id. Cohere's v1 has ``meta``, and so has the Jina format of our own server at
    ``/rerank``. Jina, vLLM and others have ``usage``.
    """
    if _are_results(reply, "score"):
        return "tei"
    if not isinstance(reply, dict) or not _are_results(reply.get("results"), "relevance_score"):
        return None
    if path == "/v2/rerank":
        return "cohere"
    if "meta" in reply and path == "/v1/rerank":
        return "v1"
    return "llamacpp" if reply.get("object") == "list" and "id" not in reply else "jina"


def _are_results(results: Any, score: str) -> bool:
    return (
        isinstance(results, list)
        and bool(results)
        and all(isinstance(item, dict) and {"index", score} <= item.keys() for item in results)
    )


def interpret(probe: Probe, status: int, headers: Mapping[str, str], reply: Any) -> Finding | None:
    """Return the finding from a response without a ranking, or None if the path does not exist.

    Args:
        probe: The request.
        status: The status of the response.
        headers: The headers of the response, with names in lower case.
        reply: The body, parsed if it is JSON, else text.
    """
    message = server_message(reply) or ""
    found = f"POST {probe.path} returned {status}" + (f": {message[:_MAX_MESSAGE_CHARS]}" if message else "")
    if status in (401, 403):
        return Finding("key", "fail", found, "set CO_API_KEY to a key that this server accepts")
    if status == 429:
        return Finding("limits", "warn", found, "wait, or request a higher limit, then run this command again")
    if status in (404, 405):
        advice = "choose a model of this server with --model"
        return Finding("model", "fail", found, advice) if "model" in message.lower() else None
    if 300 <= status < 400:
        target = headers.get("location", "an unknown address")
        return Finding("dialect", "fail", f"{found}, a redirect to {target}", "use the address of the redirect")
    if status >= 500:
        return Finding("dialect", "fail", found, "the server failed: read its log, or try again later")
    if status >= 400:
        return Finding("dialect", "fail", found, "the server has this path, but rejects the format or the --model")
    advice = "check the address: this may be a web page in front of the server"
    return Finding("dialect", "fail", f"{found} without a ranking", advice)


def most_severe(findings: Iterable[Finding]) -> Finding | None:
    """Return the finding to fix first, or None if there are no findings."""
    return min(findings, key=lambda finding: _FIX_FIRST.index(finding.check), default=None)


def limits(headers: Mapping[str, str]) -> list[str]:
    """Return the headers that state a limit, as ``name: value``."""
    return [f"{name}: {value}" for name, value in headers.items() if any(mark in name for mark in _LIMIT_MARKS)]
