"""Transports for the tests, and a check for what a test leaks."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from cohere_rerank._transport.pooled import PooledTransport


@pytest.fixture(params=["asyncio", "trio"])
def run(request) -> Callable[..., Any]:
    """``run(scenario)`` runs a coroutine function on a new event loop."""
    return lambda scenario: anyio.run(scenario, backend=request.param)


@pytest.fixture(autouse=True, scope="module")
def quick_collecting() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def collect_leaks(quick_collecting) -> Iterator[None]:
    """A leak fails the test that caused it, with a ResourceWarning."""
    yield
    gc.collect()


@pytest.fixture
def transport() -> Iterator[PooledTransport]:
    made = PooledTransport(max_connections=3)
    yield made
    made.close()
