"""Logs as JSON or as text, with one event in each line. They never contain a document, a query or a key."""

from __future__ import annotations

import json
import logging
import os
import traceback
from datetime import datetime, timezone
from typing import Any

from .log_handler import STDERR, BackgroundHandler, RateLimit

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "text", "json")
ACCESS_LOGGER = "cohere_rerank.server.access"
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


class TextFormatter(logging.Formatter):
    """Formats a record as a line for a person at a terminal. ``extra={"text": ...}`` replaces the message there."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without control characters."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            fields.update(error_fields(record.exc_info[1]))
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        if record.name == ACCESS_LOGGER:
            line = _request_line(fields)
        elif (text := getattr(record, "text", None)) is not None:
            line = text
        else:
            line = " ".join([_message(record), *(f"{name}={value}" for name, value in fields.items())])
        return "".join(letter if letter.isprintable() else " " for letter in f"{time} {level}{line}")


def _request_line(fields: dict[str, Any]) -> str:
    parts = [f"{fields['method']} {fields['path']} {fields['status']} {fields['ms']} ms"]
    if "answered_by" in fields:
        parts.append(f"{fields['documents']} documents, {fields['answered_by']}")
    return "  ".join([*parts, fields["request_id"]])


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


def is_text(log_format: str) -> bool:
    """Return whether the log is text: ``"auto"`` means text on a terminal, and JSON otherwise."""
    if log_format != "auto":
        return log_format == "text"
    try:
        return os.isatty(STDERR)
    except OSError:  # it is closed
        return False


def log_config(level: str = "info", log_format: str = "auto") -> dict[str, Any]:
    """Return the settings for `logging.config.dictConfig`: all records on standard error.

    Other packages log warnings and errors only.

    Args:
        level: ``"debug"``, ``"info"``, ``"warning"`` or ``"error"``.
        log_format: ``"text"``, ``"json"``, or ``"auto"``: text on a terminal.
    """
    own: dict[str, Any] = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    is_for_people = is_text(log_format)
    formatter = TextFormatter if is_for_people else JsonFormatter
    other_level = "ERROR" if level == "error" else "WARNING"
    uvicorn_level = other_level if is_for_people and level == "info" else level.upper()  # it reports its own start
    handler = {"()": BackgroundHandler, "formatter": "line", "filters": ["rate"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": f"{__name__}.{formatter.__name__}"}},
        "filters": {"rate": {"()": RateLimit}},
        "handlers": {"stderr": handler},
        "loggers": {"uvicorn": {**own, "level": uvicorn_level}, "cohere_rerank": own},
        "root": {"handlers": ["stderr"], "level": other_level},
    }


def flush_logs() -> None:
    """Write the log lines that wait, so that a later line of this program comes after them."""
    for handler in logging.getLogger("cohere_rerank").handlers:
        handler.flush()
