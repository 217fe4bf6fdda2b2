"""Logs each request to a `FaultServer`, with the fields of the real server's log and the fault that it got."""

from __future__ import annotations

import logging
import time

from .wire import Exchange, Reply, Request

__all__ = ["PROBES", "RERANK_PATH", "with_access_log"]

RERANK_PATH = "/v2/rerank"
PROBES = {"/health": "ok", "/ready": "ready"}  # as at the real server, for scripts that wait for it
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = logging.getLogger("cohere_rerank.testing")


def with_access_log(reply: Reply, request: Request, n: int | None = None, fault: str | None = None) -> Reply:
    """Return a reply that logs the request at INFO after it was sent.

    The log never contains a text, a key, or a path that a caller made up.

    Args:
        reply: The reply to log.
        request: The request that gets it.
        n: The number of the request in the plan. None: the request is not a rerank call.
        fault: The kind of the fault that the request gets.
    """
    if not _log.isEnabledFor(logging.INFO):
        return reply

    async def send(exchange: Exchange) -> None:
        started_s = time.perf_counter()
        try:
            await reply(exchange)
        finally:
            _log_request(request, exchange.status, time.perf_counter() - started_s, n, fault)

    return send


def _log_request(request: Request, status: int | None, seconds: float, n: int | None, fault: str | None) -> None:
    path = request.path.partition("?")[0]
    fields = {
        "n": n,
        "method": request.method if request.method in _METHODS else "other",
        "path": path if path == RERANK_PATH or path in PROBES else "other",
        "status": status,
        "ms": round(seconds * 1000, 2),
        "request_bytes": len(request.body),
        "documents": _n_documents(request),
        "fault": fault,
    }
    number = "-" if n is None else n
    status_text = "none" if status is None else status
    values = (number, fields["method"], fields["path"], status_text, fault or "no fault")
    _log.info("%s: %s %s, status %s: %s", *values, extra={"fields": fields})


def _n_documents(request: Request) -> int:
    try:
        return len(request.documents)
    except (ValueError, RecursionError, TypeError, KeyError):  # the body is not a valid request
        return 0
