"""Fixtures of the whole suite: a real server, a clock that nobody waits for, clients to close."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from cohere_rerank.testing import FakeClock
from tests.fake_server import Server

# PYTHONUNBUFFERED hides from a process what happens when it flushes a pipe that nobody reads.
ENVIRONMENT = ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONUNBUFFERED")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

hypothesis.settings.register_profile("repeatable", derandomize=True)  # a change passes or fails for what it changed


def pytest_configure(config: pytest.Config) -> None:
    """Hold the suite's environment off, as far as fixtures cannot."""
    # A test that imports onnxruntime itself must not have it call through the proxies of other tests.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # A shell starts what runs in its background with Ctrl-C ignored, and every program of a test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # On Python 3.10 asyncio takes the aborted TLS transports of the test server for unclosed ones.
    if sys.version_info < (3, 11):
        ignored = "ignore:Exception ignored in. <function _SSLProtocolTransport.__del__"
        config.addinivalue_line("filterwarnings", f"{ignored}:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test."""
    for name in (*ENVIRONMENT, *PROXIES, *(name.lower() for name in PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a loopback port that answers like Cohere; see ``fake_server.py``."""
    with Server() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    """Time that passes only when someone sleeps."""
    return FakeClock()


class Blocking:
    """An AsyncClientV2 called like a ClientV2, on its own loop: one scenario drives both."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._loop = asyncio.new_event_loop()

    def rerank(self, **call: Any) -> Any:
        return self._loop.run_until_complete(self.client.rerank(**call))

    def raw_rerank(self, **call: Any) -> Any:
        return self._loop.run_until_complete(self.client.with_raw_response.rerank(**call))

    def close(self) -> None:
        self._loop.run_until_complete(self.client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Direct:
    """A ClientV2 with the face of ``Blocking``."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.rerank = client.rerank
        self.raw_rerank = client.with_raw_response.rerank
        self.close = client.close


@pytest.fixture
def make_client(server: Server) -> Iterator[Callable[..., Any]]:
    """``make_client(**options) -> ClientV2`` of the server; closed after the test."""
    from cohere_rerank import ClientV2

    made: list[Any] = []

    def make(api_key: Any = "test-key", **options: Any) -> Any:
        made.append(ClientV2(api_key, **{"base_url": server.url, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def make_async_client(server: Server) -> Callable[..., Any]:
    """``make_async_client(**options) -> AsyncClientV2``; close it in the loop that used it."""
    from cohere_rerank import AsyncClientV2

    def make(api_key: Any = "test-key", **options: Any) -> Any:
        return AsyncClientV2(api_key, **{"base_url": server.url, **options})

    return make


@pytest.fixture(params=["sync", "async"])
def make_either(request: pytest.FixtureRequest, server: Server) -> Iterator[Callable[..., Any]]:
    """``make_either(**options)``: a blocking face on a ClientV2, then on an AsyncClientV2."""
    from cohere_rerank import AsyncClientV2, ClientV2

    made: list[Direct | Blocking] = []

    def make(api_key: Any = "test-key", **options: Any) -> Direct | Blocking:
        options = {"base_url": server.url, **options}
        is_sync = request.param == "sync"
        made.append(Direct(ClientV2(api_key, **options)) if is_sync else Blocking(AsyncClientV2(api_key, **options)))
        return made[-1]

    yield make
    for client in made:
        client.close()
