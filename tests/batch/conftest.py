"""Fixtures: a batch on each kind of client, and a check that its threads end."""

from __future__ import annotations

import threading

import pytest

from tests.batch.helpers import TIMEOUT_S, Driver


@pytest.fixture(params=["sync", "asyncio", "trio"])
def driver(request, server):
    return Driver(request.param, server.url)


@pytest.fixture
def no_threads_left():
    """Fail if a thread of a batch outlives the test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "cohere_rerank batch":
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
