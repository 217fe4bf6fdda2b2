"""Logs as JSON, one object a line; never a document, a query or a key."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import datetime, timezone
from typing import Any

_N_FRAMES = 5


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what ``extra={"fields": {...}}`` holds stands beside its message.

    Of an exception only the type and place of its first cause are written: its text may hold what a caller sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line.update(about(record.exc_info[1]))
        return json.dumps(line)


def about(error: BaseException) -> dict[str, Any]:
    """The type and place of an error's first cause, as fields for a log: its text may hold what a caller sent."""
    first = _first_cause(error)
    frames = traceback.extract_tb(first.__traceback__)[-_N_FRAMES:]
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(first).__name__, "where": where}


def log_failure(log: logging.Logger, what: str, error: BaseException, request_id: str) -> None:
    """Log a request's failure, without the exception: not every program that we run in formats it with care."""
    fields = {"request_id": request_id, **about(error)}
    log.error("%s: %s; request %s", what, fields["error"], request_id, extra={"fields": fields})


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def configuration() -> dict[str, Any]:
    """For `logging.config.dictConfig`: uvicorn's records and ours as JSON on standard error."""
    ours = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": f"{__name__}.{JsonFormatter.__name__}"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "loggers": {"uvicorn": ours, "cohere_rerank": ours},
    }
