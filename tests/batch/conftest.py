"""A batch on either kind of client, and the watch over its threads."""

from __future__ import annotations

import threading

import pytest

from tests.batch.driving import PATIENCE_S, Driver


@pytest.fixture(params=["sync", "asyncio", "trio"])
def driver(request, server):
    return Driver(request.param, server.url)


@pytest.fixture
def no_threads_left():
    """Fails if a thread of a batch outlives the test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "cohere_rerank batch":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
