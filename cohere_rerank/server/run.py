"""Run the server: uvicorn around the application, in this process or in workers that it looks after."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cohere_rerank._config import whole_number
from cohere_rerank.errors import InvalidRequestError

from . import logs
from .settings import Settings

try:
    import uvicorn
except ImportError:
    raise ImportError('the server is an extra; install it with: pip install "cohere-rerank[server]"') from None

if TYPE_CHECKING:
    from .app import App

_SETTINGS_VARIABLE = "COHERE_RERANK_SERVER_SETTINGS"
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_GRACE_S = 30


def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs, for 30 seconds at most.

    Args:
        settings: How to serve; with several workers the scorer must be a name.
        host: Where to listen; only this machine can reach the default.
        port: 0 takes a free one, and the log says which.
        workers: Processes; one that dies is replaced. Concurrency and queue are those of each.

    Raises:
        InvalidRequestError: The settings do not fit together.
        ImportError: The scorer's extra is not installed.
    """
    n_workers = whole_number("workers", workers, 1) or 1
    if n_workers > 1 and not isinstance(settings.scorer, (str, type(None))):
        raise InvalidRequestError("with several workers, scorer must be a name: an object cannot be sent to them")
    from .app import create_app

    app = create_app(settings)
    options = uvicorn_options(host, port)
    if n_workers == 1:
        uvicorn.run(app, **options)
        return
    del app  # made only to find mistakes before any worker does
    with _shared_with_workers(settings):
        uvicorn.run(f"{__name__}:app_of_worker", factory=True, workers=n_workers, **options)


def uvicorn_options(host: str, port: int) -> dict[str, Any]:
    """How uvicorn is to run the application."""
    return {
        "host": host,
        "port": port,
        "log_config": logs.configuration(),
        "access_log": False,  # ours has the request's id, and no query string
        "http": "h11",  # which refuses endless headers; httptools gathers them without a bound
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
