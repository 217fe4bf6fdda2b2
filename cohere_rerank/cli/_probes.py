"""Small rerank requests in the forms that servers know, and what an answer to one says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cohere_rerank.errors import _server_message as server_message

__all__ = ["PROBES", "Finding", "Probe", "dialect_of", "interpret", "limits", "most_severe"]

_QUERY = "capital of France"
_DOCUMENTS = ["Paris is the capital of France.", "Berlin is the capital of Germany."]
_LIMIT_MARKS = ("ratelimit", "rate-limit", "call-limit", "call-remaining", "retry-after")
_FIX_FIRST = ("key", "limits", "model", "dialect")
_MESSAGE_LIMIT = 200  # characters


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        check: What was looked at: address, dns, connect, tls, key, dialect, limits or latency.
        status: "ok", "warn" or "fail".
        message: What was found.
        advice: What to do about it; None where there is nothing to do.
    """

    check: str
    status: str
    message: str
    advice: str | None = None


@dataclass(frozen=True)
class Probe:
    """A path, below the server's address, and the name of its field of documents."""

    path: str
    documents: str = "documents"

    def body(self, model: str) -> dict[str, Any]:
        """What to send: one query, two documents."""
        body: dict[str, Any] = {"query": _QUERY, self.documents: _DOCUMENTS}
        return body if self.documents == "texts" else {"model": model, **body}


PROBES = (Probe("/v2/rerank"), Probe("/v1/rerank"), Probe("/rerank"), Probe("/rerank", "texts"))


def dialect_of(path: str, reply: Any) -> str | None:
    """Whose form a successful reply has: cohere, v1, jina, llamacpp or tei; None if nobody's.

    llama.cpp's lists have no id; Cohere's v1 has ``meta``, as has the Jina form of our own server, at ``/rerank``;
    Jina, vLLM and others have ``usage``.
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
    """What a reply without a ranking says; None where it only says that the path is not there.

    Args:
        probe: What was asked.
        status: Of the reply.
        headers: Of the reply, names in lower case.
        reply: The body, parsed if it is JSON, else text.
    """
    said = server_message(reply) or ""
    place = f"POST {probe.path} is answered {status}" + (f": {said[:_MESSAGE_LIMIT]}" if said else "")
    if status in (401, 403):
        return Finding("key", "fail", place, "set CO_API_KEY to a key that this server accepts")
    if status == 429:
        return Finding("limits", "warn", place, "wait, or ask for a higher limit; then run this again")
    if status in (404, 405):
        advice = "choose a model that this server has, with --model"
        return Finding("model", "fail", place, advice) if "model" in said.lower() else None
    if 300 <= status < 400:
        target = headers.get("location", "nowhere")
        return Finding("dialect", "fail", f"{place}, pointing to {target}", "give the address that it points to")
    if status >= 500:
        return Finding("dialect", "fail", place, "the server itself fails: look into its log, or try again later")
    if status >= 400:
        return Finding("dialect", "fail", place, "it knows the path, but not this form or this --model")
    return Finding("dialect", "fail", f"{place}, without a ranking", "is this a page in front of the server?")


def most_severe(findings: Iterable[Finding]) -> Finding | None:
    """The one to mend first; None if there are none."""
    return min(findings, key=lambda finding: _FIX_FIRST.index(finding.check), default=None)


def limits(headers: Mapping[str, str]) -> list[str]:
    """The headers that state a limit, as ``name: value``."""
    return [f"{name}: {value}" for name, value in headers.items() if any(mark in name for mark in _LIMIT_MARKS)]
