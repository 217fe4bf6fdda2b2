"""Run the server: uvicorn around the application, in this process or in workers that it looks after."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from typing import TYPE_CHECKING, Any

from cohere_rerank._extras import importing
from cohere_rerank._settings import key_from_environment
from cohere_rerank._validators import whole_number
from cohere_rerank.errors import InvalidRequestError, ScorerError

from . import logs
from .protocol import JsonH11Protocol
from .settings import Settings

with importing("server", "The server"):
    import uvicorn
    from uvicorn.supervisors import Multiprocess

if TYPE_CHECKING:
    from .app import App

_log = logging.getLogger("cohere_rerank.server")
_SETTINGS_VARIABLE = "COHERE_RERANK_SERVER_SETTINGS"
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_GRACE_S = 30
_NOT_STARTED = 3  # uvicorn's code for a start that failed


def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs, for 30 seconds at most. After SIGTERM it returns.

    Args:
        settings: How to serve; with several workers the scorer must be a name.
        host: Where to listen; only this machine can reach the default.
        port: 0 takes a free one, and the log says which.
        workers: Processes; one that dies is replaced. Concurrency and queue are those of each.

    Raises:
        InvalidRequestError: The settings do not fit together.
        ImportError: The scorer's extra is not installed.
        OSError: The address is none of this machine's, or taken.
        ScorerError: The scorer cannot be loaded; the log has the reason.
        KeyboardInterrupt: After SIGINT, when what ran is finished.
    """
    n_workers = whole_number("workers", workers, 1) or 1
    if n_workers > 1 and not isinstance(settings.scorer, (str, type(None))):
        raise InvalidRequestError("with several workers, scorer must be a name: an object cannot be sent to them")
    from .app import create_app

    app = create_app(settings)
    options = uvicorn_options(host, port)
    with bound(host, port) as listener, _signals_kept():
        if n_workers == 1:
            config = uvicorn.Config(app, **options)  # which sets up the log
            _warn_without_key(settings)
            _serve_alone(config, listener)
            return
        del app  # made only to find mistakes before any worker does
        with _shared_with_workers(settings):
            name = f"{__name__}:{app_of_worker.__name__}"
            config = uvicorn.Config(name, factory=True, workers=n_workers, **options)
            _warn_without_key(settings)
            _serve_with_workers(config, listener)


def bound(host: str, port: int) -> socket.socket:
    """A socket at the address, which does not listen yet.

    Raises:
        OSError: The address is none of this machine's, or taken; the text says which.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if os.name != "nt":  # where it would let two programs have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, ValueError, OverflowError) as error:  # ValueError: no name of a host can look so
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(getattr(error, "errno", None), f"cannot listen on {_shown(host, port)}: {reason}") from None
    return listener


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _say_where(self.config, sockets or [])


class _Workers(Multiprocess):
    is_interrupted = False

    def handle_int(self) -> None:
        super().handle_int()
        self.is_interrupted = True


def _serve_alone(config: uvicorn.Config, listener: socket.socket) -> None:
    server = _Server(config)
    with suppress(SystemExit):  # of SIGTERM, or of a start that failed
        server.run([listener])
    if not server.started:
        raise ScorerError("the scorer cannot be loaded; the log has the reason")


def _serve_with_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    older: dict[str, Any] = {"target": uvicorn.Server(config).run}  # of uvicorn 0.34
    workers = _Workers(config, sockets=[listener], **(older if "target" in signature(Multiprocess).parameters else {}))
    _say_where(config, [listener])
    workers.run()
    if workers.is_interrupted:
        raise KeyboardInterrupt
    if any(worker.process.exitcode == _NOT_STARTED for worker in workers.processes):
        raise ScorerError("the scorer cannot be loaded; the log has the reason")


def _warn_without_key(settings: Settings) -> None:
    if settings.upstream is not None and not key_from_environment():
        _log.warning(
            "there is no key in CO_API_KEY, and callers' own are not passed on: if the upstream asks for one, every "
            "request will be answered 502"
        )


def _say_where(config: uvicorn.Config, listeners: list[socket.socket]) -> None:
    for listener in listeners:
        _log.info("running on http://%s", _shown(config.host, listener.getsockname()[1]))


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Make an end of SIGTERM that can be told from a failure; uvicorn passes it on when it is done.

    The caller's handlers are put back, which the supervisor of workers does not do.
    """
    if threading.current_thread() is not threading.main_thread():  # no other may set them
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end(*_: object) -> None:
    raise SystemExit(0)


def uvicorn_options(host: str, port: int) -> dict[str, Any]:
    """How uvicorn is to run the application."""
    return {
        "host": host,
        "port": port,
        "log_config": logs.configuration(),
        "access_log": False,  # ours has the request's id, and no query string
        "http": JsonH11Protocol,  # h11 refuses endless headers; httptools gathers them without a bound
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": _GRACE_S,
    }


def app_of_worker() -> App:
    """The application inside a worker process."""
    from .app import create_app

    return create_app(Settings.from_text(os.environ[_SETTINGS_VARIABLE]))


@contextmanager
def _shared_with_workers(settings: Settings) -> Iterator[None]:
    """The environment that workers inherit: the settings, and a folder for the counts of all of them."""
    folder = None if os.environ.get(_METRICS_VARIABLE) else tempfile.mkdtemp(prefix="cohere-rerank-metrics-")
    if folder is not None:
        os.environ[_METRICS_VARIABLE] = folder
    os.environ[_SETTINGS_VARIABLE] = settings.to_text()
    try:
        yield
    finally:
        del os.environ[_SETTINGS_VARIABLE]
        if folder is not None:
            del os.environ[_METRICS_VARIABLE]
            shutil.rmtree(folder, ignore_errors=True)
