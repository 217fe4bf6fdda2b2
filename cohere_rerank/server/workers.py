"""Serves with several worker processes. A supervisor replaces a worker that dies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from typing import TYPE_CHECKING, Any

from cohere_rerank._extras import importing
from cohere_rerank.errors import ScorerError

from . import shutdown
from .listener import log_addresses
from .metrics import FOLDER_VARIABLE
from .settings import ServerSettings
from .tracing import export_spans

with importing("server", "The server"):
    import uvicorn
    from uvicorn.supervisors import Multiprocess

if TYPE_CHECKING:
    from .app import App

_SETTINGS_VARIABLE = "COHERE_RERANK_SERVER_SETTINGS"
_STARTUP_FAILED = 3  # uvicorn's exit code


class Supervisor(Multiprocess):
    """uvicorn's supervisor. It remembers whether SIGINT stopped it."""

    is_interrupted = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        ignored = [number for number in shutdown.LIKE_SIGTERM if signal.getsignal(number) is signal.SIG_IGN]
        super().__init__(*arguments, **options)  # sets a handler for each signal
        for number in {signal.SIGINT, signal.SIGTERM, *shutdown.LIKE_SIGTERM} - set(ignored):
            signal.signal(number, self._on_signal)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.signal_queue.append(number)
        self._end_health_check()

    def _end_health_check(self, *_: object) -> None:
        """Answer in place of the worker that is being checked. A worker that starts slowly would delay a signal.

        The check of a worker that dies would also last for 30 seconds, because this process keeps its pipe open.
        """
        for worker in self.processes:
            with suppress(OSError):  # the pipe of a stopped worker is closed
                if not worker.parent_conn.poll():  # at most one response, else the pipe would fill up
                    worker.child_conn.send(True)

    def run(self) -> None:
        """Serve until a signal. Notice at once when a worker dies."""
        child_signal = getattr(signal, "SIGCHLD", None)  # Windows does not have it
        if child_signal is None:
            super().run()
            return
        before = signal.signal(child_signal, self._end_health_check)
        try:
            super().run()
        finally:
            signal.signal(child_signal, before)

    def handle_hup(self) -> None:
        """Stop the workers, because the terminal was closed. uvicorn would start them again."""
        self.handle_term()

    def handle_quit(self) -> None:
        """Stop the workers."""
        self.handle_term()

    def handle_int(self) -> None:
        """Stop the workers, because of SIGINT."""
        super().handle_int()
        self.is_interrupted = True

    def join_all(self) -> None:
        """Wait for the workers to exit. Kill those that have not exited after 30 seconds."""
        end_s = time.monotonic() + shutdown.EXIT_S
        for worker in self.processes:
            worker.process.join(max(0.0, end_s - time.monotonic()))
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()


def serve_with_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve until a signal stops the supervisor. *config* must name `create_worker_app` as the application.

    Raises:
        ScorerError: No worker could load the scorer.
        KeyboardInterrupt: After SIGINT.
    """
    options: dict[str, Any] = {"sockets": [listener]}
    if "target" in signature(Multiprocess).parameters:  # uvicorn 0.50
        options["target"] = uvicorn.Server(config).run
    supervisor = Supervisor(config, **options)
    log_addresses(config.host, [listener])
    supervisor.run()
    if supervisor.is_interrupted:
        raise KeyboardInterrupt
    if any(worker.process.exitcode == _STARTUP_FAILED for worker in supervisor.processes):
        raise ScorerError("the scorer cannot be loaded; the log has the reason")


def create_worker_app() -> App:
    """Return the application of a worker process."""
    from .app import create_app

    shutdown.prepare_worker()
    export_spans(os.environ)
    return create_app(ServerSettings.from_json(os.environ[_SETTINGS_VARIABLE]))


@contextmanager
def worker_environment(settings: ServerSettings) -> Iterator[None]:
    """Set the environment that workers inherit: the settings, and a folder for the metrics of all workers."""
    folder = None if os.environ.get(FOLDER_VARIABLE) else tempfile.mkdtemp(prefix="cohere-rerank-metrics-")
    if folder is not None:
        os.environ[FOLDER_VARIABLE] = folder
    os.environ[_SETTINGS_VARIABLE] = settings.to_json()
    try:
        yield
    finally:
        del os.environ[_SETTINGS_VARIABLE]
        if folder is not None:
            del os.environ[FOLDER_VARIABLE]
            shutil.rmtree(folder, ignore_errors=True)
