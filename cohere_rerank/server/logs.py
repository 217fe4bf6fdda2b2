"""Logs as JSON, with one object in each line. They never contain a document, a query or a key."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import datetime, timezone
from typing import Any

from .log_handler import BackgroundHandler, RateLimit

_N_FRAMES = 5


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON. The values of ``extra={"fields": {...}}`` become fields of the line.

    For an exception, the line has only the type and the place of its first cause. The text of an exception can contain
    text of a caller.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "message": _message(record)}
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line.update(error_fields(record.exc_info[1]))
        return json.dumps(line)


def _message(record: logging.LogRecord) -> str:
    """Return the message. asyncio's messages show whole exceptions after their first line, which may contain texts."""
    message = record.getMessage()
    return message.partition("\n")[0] if record.name == "asyncio" else message


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return the type and the place of an error's first cause, as fields of a log line.

    The client clears the traceback of a cause, because its frames have headers. Then the place is that of its effect.
    """
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    trace = next((link.__traceback__ for link in reversed(chain) if link.__traceback__ is not None), None)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)[-_N_FRAMES:]]
    return {"error": type(chain[-1]).__name__, "where": where}


def log_failure(log: logging.Logger, what: str, error: BaseException, request_id: str) -> None:
    """Log the failure of a request.

    The exception itself is not part of the record, because an application around this one may format it with its text.
    """
    fields = {"request_id": request_id, **error_fields(error)}
    log.error("%s: %s; request %s", what, fields["error"], request_id, extra={"fields": fields})


def log_config() -> dict[str, Any]:
    """Return the settings for `logging.config.dictConfig`: all records as JSON on standard error.

    Other packages log warnings and errors only.
    """
    to_stderr = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
    handler = {"()": BackgroundHandler, "formatter": "json", "filters": ["rate"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": f"{__name__}.{JsonFormatter.__name__}"}},
        "filters": {"rate": {"()": RateLimit}},
        "handlers": {"stderr": handler},
        "loggers": {"uvicorn": to_stderr, "cohere_rerank": to_stderr},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


def flush_logs() -> None:
    """Write the log lines that wait, so that a later line of this program comes after them."""
    for handler in logging.getLogger("cohere_rerank").handlers:
        handler.flush()
