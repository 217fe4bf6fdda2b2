"""The pytest plugin ``cohere_rerank``, found by its entry point; ``-p no:cohere_rerank`` leaves it out.

Everything heavy is imported inside the fixtures.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cohere_rerank import AsyncClientV2, ClientV2

    from .faults import FaultServer


@pytest.fixture
def local_cohere() -> Iterator[ClientV2]:
    """A client that the engine inside the process answers: real rankings, no key, no network."""
    from cohere_rerank import ClientV2

    with ClientV2(base_url="local:") as client:
        yield client


@pytest.fixture
def async_local_cohere() -> AsyncClientV2:
    """As ``local_cohere``, with ``await``; works in any event loop, under asyncio and trio."""
    from cohere_rerank import AsyncClientV2

    return AsyncClientV2(base_url="local:")  # holds nothing that needs closing


@pytest.fixture
def fake_cohere(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A live `FaultServer`; clients that the code under test makes for itself find it by CO_API_URL and CO_API_KEY."""
    from .faults import FaultServer

    with FaultServer() as server:
        monkeypatch.setenv("CO_API_URL", server.url)
        monkeypatch.setenv("CO_API_KEY", "test-key")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1"))))
        yield server
