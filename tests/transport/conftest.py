"""Stacks to ask through, and the watch over what their tests leave behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from cohere_rerank._transport.pooled import PooledTransport


@pytest.fixture(params=["asyncio", "trio"])
def run(request) -> Callable[..., Any]:
    """``run(scenario)`` runs a coroutine function on an event loop of its own."""
    return lambda scenario: anyio.run(scenario, backend=request.param)


@pytest.fixture(autouse=True, scope="module")
def quick_collecting() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def collect_leaks(quick_collecting) -> Iterator[None]:
    """What a test leaked fails that test, with a ResourceWarning."""
    yield
    gc.collect()


@pytest.fixture
def transport() -> Iterator[PooledTransport]:
    made = PooledTransport(max_connections=3)
    yield made
    made.close()
