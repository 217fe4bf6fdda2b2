"""Runs the server: uvicorn with the application, in this process or in worker processes."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

from cohere_rerank._extras import importing
from cohere_rerank._settings import key_from_environment
from cohere_rerank._validators import choice, whole_number
from cohere_rerank.errors import InvalidRequestError, ScorerError

from .hosts import LOOPBACK_HOSTS, is_loopback
from .listener import accept_backlog, bind, log_addresses
from .logs import LOG_FORMATS, LOG_LEVELS, flush_logs, log_config
from .protocol import StrictH11Protocol
from .settings import ServerSettings
from .shutdown import (
    GRACE_S,
    HEALTH_CHECK_S,
    LIKE_SIGTERM,
    cancel_exit_timer,
    exit_watchdog,
    handle_like_sigterm,
    start_exit_timer,
)
from .tracing import export_spans

with importing("server", "The server"):
    import uvicorn

_log = logging.getLogger("cohere_rerank.server")


def serve(
    settings: ServerSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    log_level: str = "info",
    log_format: str = "auto",
) -> None:
    """Serve until a signal. Then finish the requests in flight. The process ends within 30 seconds.

    The signals are SIGINT, SIGTERM, SIGQUIT, and SIGHUP, which a closed terminal sends. After SIGINT the function
    raises KeyboardInterrupt, and after the others it returns. If SIGHUP or SIGQUIT was ignored before, it stays so.

    If *host* is a loopback address and the server has no keys, it accepts only requests to loopback names and to the
    ``allowed_hosts`` of the settings. Otherwise a web page could reach the server under the domain name of the page.

    Args:
        settings: The settings. With several workers, the scorer must be a name.
        host: The address to listen on. Default: ``"127.0.0.1"``, which only this machine can reach.
        port: The port. 0 takes a free port, and the log contains its number. Default: 8000.
        workers: The number of processes. A process that dies is replaced. Each has its own concurrency and queue.
            Default: 1.
        log_level: The lowest level that is logged: ``"debug"``, ``"info"``, ``"warning"`` or ``"error"``. Default:
            ``"info"``.
        log_format: ``"json"``, ``"text"``, or ``"auto"``: text on a terminal, and JSON otherwise. Default: ``"auto"``.

    Raises:
        InvalidRequestError: The settings contradict each other, or a value is not allowed.
        ImportError: The extra of the scorer is not installed.
        OSError: This machine does not have the address, or another program uses it.
        ScorerError: The scorer cannot be loaded; the log has the reason.
        KeyboardInterrupt: After SIGINT, when the requests in flight are finished.
    """
    n_workers = whole_number("workers", workers, 1) or 1
    if n_workers > 1 and not isinstance(settings.scorer, (str, type(None))):
        kind = type(settings.scorer).__name__
        raise InvalidRequestError(
            f"with several workers, scorer must be a name, got {kind}: an object cannot be sent to another process"
        )
    choice("log_level", log_level, LOG_LEVELS)
    choice("log_format", log_format, LOG_FORMATS)
    settings = _with_allowed_hosts(settings, host)
    from .app import create_app

    app = create_app(settings)
    options = {**uvicorn_options(host, port), "log_config": log_config(log_level, log_format)}
    with bind(host, port) as listener, _preserve_signal_handlers():
        if n_workers == 1:
            config = uvicorn.Config(app, **options)  # sets up the log
            export_spans(os.environ)
            _warn_without_upstream_key(settings)
            _serve_in_process(config, listener)
            return
        del app  # it only had to find mistakes before a worker does
        from .workers import create_worker_app, serve_with_workers, worker_environment

        with worker_environment(settings):
            name = f"{create_worker_app.__module__}:{create_worker_app.__name__}"
            config = uvicorn.Config(name, factory=True, workers=n_workers, **options)
            _warn_without_upstream_key(settings)
            serve_with_workers(config, listener)


def _with_allowed_hosts(settings: ServerSettings, host: str) -> ServerSettings:
    if settings.allowed_hosts is not None:
        names = (*settings.allowed_hosts, host)
    elif is_loopback(host) and not settings.api_keys:
        names = (host,)
    else:
        return settings
    return replace(settings, allowed_hosts=(*names, *(LOOPBACK_HOSTS if is_loopback(host) else ())))


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        start_exit_timer()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            log_addresses(self.config.host, sockets or [])


def _serve_in_process(config: uvicorn.Config, listener: socket.socket) -> None:
    server = _Server(config)
    try:
        with exit_watchdog(), suppress(SystemExit):  # SIGTERM, or a failed startup
            server.run([listener])
    finally:
        cancel_exit_timer()
    if not server.started:
        raise ScorerError("the scorer cannot be loaded; the log has the reason")


def _warn_without_upstream_key(settings: ServerSettings) -> None:
    if settings.upstream is not None and not (settings.upstream_key or key_from_environment()):
        _log.warning(
            "there is no key for the upstream, in CO_API_KEY or in a file, and the keys of callers are not forwarded: "
            "if the upstream needs a key, every request will get 502"
        )


@contextmanager
def _preserve_signal_handlers() -> Iterator[None]:
    """Restore the caller's signal handlers afterwards, which uvicorn's supervisor does not do.

    Inside, SIGTERM, SIGHUP and SIGQUIT raise SystemExit(0), so that such a stop differs from a failure.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, *LIKE_SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, _exit)
    handle_like_sigterm()
    try:
        yield
    finally:
        flush_logs()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _exit(*_: object) -> None:
    raise SystemExit(0)


def uvicorn_options(host: str, port: int) -> dict[str, Any]:
    """Return the options of `uvicorn.Config`."""
    return {
        "host": host,
        "port": port,
        "access_log": False,  # ours has the request id and no query string
        "http": StrictH11Protocol,  # h11 limits the size of headers; httptools collects them without a limit
        "loop": "asyncio",  # the protocol limits how much an asyncio transport reads at once
        "backlog": accept_backlog(),
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": GRACE_S,
        "timeout_worker_healthcheck": HEALTH_CHECK_S,
    }
