"""A log line for each request to a `FaultServer`: the fields of the real server's, and the fault that it met."""

from __future__ import annotations

import logging
import time

from .wire import Exchange, Reply, Request

__all__ = ["PROBES", "RERANK", "noted"]

RERANK = "/v2/rerank"
PROBES = {"/health": "ok", "/ready": "ready"}  # what a script waits for, as at the real server
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = logging.getLogger("cohere_rerank.testing")


def noted(replying: Reply, request: Request, n: int | None = None, fault: str | None = None) -> Reply:
    """The reply, logged at INFO when it has ended; never a text, a key, or what a caller may have put in a path.

    Args:
        n: The request's number in the plan; None for one that is no call.
        fault: The kind of the fault that it meets.
    """
    if not _log.isEnabledFor(logging.INFO):
        return replying

    async def send(exchange: Exchange) -> None:
        began_s = time.perf_counter()
        try:
            await replying(exchange)
        finally:
            _note(request, exchange.status, time.perf_counter() - began_s, n, fault)

    return send


def _note(request: Request, status: int | None, seconds: float, n: int | None, fault: str | None) -> None:
    path = request.path.partition("?")[0]
    fields = {
        "n": n,
        "method": request.method if request.method in _METHODS else "other",
        "path": path if path == RERANK or path in PROBES else "other",
        "status": status,
        "ms": round(seconds * 1000, 2),
        "request_bytes": len(request.body),
        "documents": _n_documents(request),
        "fault": fault,
    }
    number = "-" if n is None else n
    text = "%s: %s %s, status %s: %s"
    shown = (fields["method"], fields["path"], "none" if status is None else status)
    _log.info(text, number, *shown, fault or "no fault", extra={"fields": fields})


def _n_documents(request: Request) -> int:
    try:
        return len(request.documents)
    except (ValueError, RecursionError, TypeError, KeyError):  # the body is no request
        return 0
