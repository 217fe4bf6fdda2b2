"""Fixtures of the whole suite: a real server, a fake clock, and clients that are closed after each test."""

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
from tests import skips
from tests.fake_server import Server

# PYTHONUNBUFFERED hides from a process what happens when it flushes a pipe without a reader.
ENVIRONMENT = ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONUNBUFFERED")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

# A busy machine is slow, which is not a failure: no test depends on the time that an example takes.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("patient", PATIENT)
hypothesis.settings.load_profile("patient")
# The result depends on the change, not on chance.
hypothesis.settings.register_profile("repeatable", PATIENT, derandomize=True)
# Files that Windows cannot even import. The path is relative to this folder.
collect_ignore = [path.removeprefix("tests/") for path in skips.IMPORT_FAILS_ON_WINDOWS if skips.WINDOWS]


def pytest_configure(config: pytest.Config) -> None:
    """Isolate the suite from the environment where fixtures cannot."""
    # onnxruntime must send no telemetry through the proxies of other tests.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
    # A shell starts background jobs with Ctrl-C ignored, and every program that a test starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # nohup ignores it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # On Python 3.10 asyncio reports the aborted TLS transports of the test server as unclosed.
    if sys.version_info < (3, 11):
        ignored = "ignore:Exception ignored in. <function _SSLProtocolTransport.__del__"
        config.addinivalue_line("filterwarnings", f"{ignored}:pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run on Windows."""
    for item in items if skips.WINDOWS else []:
        if reason := skips.why_not_on_windows(item.nodeid):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI, let a test fail that is skipped for a reason that `skips.py` does not expect."""
    return fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for a whole file that is skipped."""
    return fail_if_skipped((yield))


def fail_if_skipped(report: Any) -> Any:
    """The report of a test or a file; a failure where it was skipped and must not be."""
    if report.skipped and not hasattr(report, "wasxfail") and skips.is_strict():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not skips.is_expected(reason.removeprefix("Skipped: ")):
            report.outcome = "failed"
            report.longrepr = (
                f"{report.nodeid} was skipped in CI: {reason}\n"
                "Install what it needs, or add the reason to EXPECTED in tests/skips.py."
            )
    return report


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of this machine from the tests."""
    for name in (*ENVIRONMENT, *PROXIES, *(name.lower() for name in PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a loopback port that behaves like Cohere's API; see ``fake_server.py``."""
    with Server() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    """A clock whose time passes only when code sleeps on it."""
    return FakeClock()


class AsyncAdapter:
    """Calls an AsyncClientV2 like a ClientV2, on an event loop of its own, so that one test covers both clients."""

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


class SyncAdapter:
    """Calls a ClientV2 through the same methods as ``AsyncAdapter``."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.rerank = client.rerank
        self.raw_rerank = client.with_raw_response.rerank
        self.close = client.close


@pytest.fixture
def make_client(server: Server) -> Iterator[Callable[..., Any]]:
    """``make_client(**options) -> ClientV2`` for the server. The clients are closed after the test."""
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
    """``make_async_client(**options) -> AsyncClientV2``. Close each client in the event loop that used it."""
    from cohere_rerank import AsyncClientV2

    def make(api_key: Any = "test-key", **options: Any) -> Any:
        return AsyncClientV2(api_key, **{"base_url": server.url, **options})

    return make


@pytest.fixture(params=["sync", "async"])
def make_either(request: pytest.FixtureRequest, server: Server) -> Iterator[Callable[..., Any]]:
    """``make_either(**options)``: an adapter for a ClientV2, then one for an AsyncClientV2."""
    from cohere_rerank import AsyncClientV2, ClientV2

    made: list[SyncAdapter | AsyncAdapter] = []

    def make(api_key: Any = "test-key", **options: Any) -> SyncAdapter | AsyncAdapter:
        options = {"base_url": server.url, **options}
        is_sync = request.param == "sync"
        made.append(
            SyncAdapter(ClientV2(api_key, **options)) if is_sync else AsyncAdapter(AsyncClientV2(api_key, **options))
        )
        return made[-1]

    yield make
    for client in made:
        client.close()
