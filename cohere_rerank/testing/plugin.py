"""The pytest plugin ``cohere_rerank``. pytest finds it by its entry point; ``-p no:cohere_rerank`` disables it.

The fixtures import heavy modules only when a test uses them.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cohere_rerank import AsyncClientV2, ClientV2

    from .faults import FaultServer


def pytest_configure(config: pytest.Config) -> None:
    """Keep pytest from compiling this package for assertions, as it does with the packages of all plugins.

    It has none to rewrite. The compilation takes time, and on Python 3.11 it fails where threads import modules at the
    same moment (python/cpython#106905). pytest has no public way to say this.
    """
    hook = getattr(config.pluginmanager, "rewrite_hook", None)
    marked = getattr(hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked.discard("cohere_rerank")


@pytest.fixture
def local_cohere() -> Iterator[ClientV2]:
    """A client of the local engine: real rankings, without a key and without a network."""
    from cohere_rerank import ClientV2

    with ClientV2(base_url="local:") as client:
        yield client


@pytest.fixture
def async_local_cohere() -> AsyncClientV2:
    """The async version of ``local_cohere``. It works in any event loop of asyncio and trio."""
    from cohere_rerank import AsyncClientV2

    return AsyncClientV2(base_url="local:")  # has no connection to close


@pytest.fixture
def fake_cohere(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A running `FaultServer`. CO_API_URL and CO_API_KEY point to it, so that the code under test finds it."""
    from .faults import FaultServer

    with FaultServer() as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        monkeypatch.setenv("CO_API_KEY", "test-key")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))))
        yield server
