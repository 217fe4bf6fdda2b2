"""Writes log lines in a thread, so that a blocked standard error does not block the server. Limits repeated records."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress

_MAX_LINES = 10_000
_FLUSH_TIMEOUT_S = 1.0
_COLLECT_S = 0.02
_LINES_AT_ONCE = 100
_PERIOD_S = 10.0
_MAX_RECORDS = 10
STDERR = 2


class BackgroundHandler(logging.Handler):
    """Writes to standard error in a thread. Lines beyond the queue of 10,000 are dropped and counted.

    The thread writes the lines of 20 ms at once. If it woke up for each line, it would interrupt the event loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque()
        self._has_lines = threading.Event()
        self._is_written = threading.Event()
        self._n_dropped = 0
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line of a record."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_lines, name="cohere_rerank_log", daemon=True)
            self._thread.start()
        if len(self._lines) >= _MAX_LINES:
            self._n_dropped += 1
            return
        try:
            if self._n_dropped:
                self._lines.append(self.format(self._drop_notice(record)))
                self._n_dropped = 0
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - as all handlers of the standard library do
            self.handleError(record)
        self._is_written.clear()
        if not self._has_lines.is_set():
            self._has_lines.set()

    def flush(self) -> None:
        """Wait until all lines are written, for at most a second."""
        if self._thread is not None:
            self._is_written.wait(_FLUSH_TIMEOUT_S)

    def _drop_notice(self, record: logging.LogRecord) -> logging.LogRecord:
        message = "log lines were dropped, because standard error was blocked"
        notice = logging.LogRecord(record.name, logging.WARNING, "", 0, message, None, None)
        notice.fields = {"dropped": self._n_dropped}
        return notice

    def _write_lines(self) -> None:
        while True:
            self._has_lines.wait()
            time.sleep(_COLLECT_S)
            self._has_lines.clear()
            while self._lines:
                lines = [self._lines.popleft() for _ in range(min(len(self._lines), _LINES_AT_ONCE))]
                data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
                # Not sys.stderr: the lock of its buffer could stop the interpreter from exiting.
                with suppress(OSError):
                    while data:
                        data = data[os.write(STDERR, data) :]
            if not self._has_lines.is_set():
                self._is_written.set()


class RateLimit(logging.Filter):
    """Limits the warnings and errors of other packages: ten with the same text in ten seconds.

    The first record after that has the number of suppressed ones. Our own records are not limited.
    """

    def __init__(self) -> None:
        super().__init__()
        self._periods: dict[tuple[str, str], tuple[float, int]] = {}  # start in seconds, number of records

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if record.levelno < logging.WARNING or record.name.startswith("cohere_rerank"):
            return True
        key = (record.name, str(record.msg).partition("\n")[0])
        now_s = time.monotonic()
        start_s, n = self._periods.get(key, (now_s, 0))
        if now_s - start_s >= _PERIOD_S:
            if n > _MAX_RECORDS:
                record.fields = {**getattr(record, "fields", {}), "suppressed": n - _MAX_RECORDS}
            start_s, n = now_s, 0
        if len(self._periods) > 1000:  # messages with values in them
            self._periods.clear()
        self._periods[key] = (start_s, n + 1)
        return n < _MAX_RECORDS
