"""Rows, and a driver that runs a batch of them on each kind of client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from cohere_rerank import AsyncClientV2, ClientV2
from tests.fake_server import score

COMMON: dict[str, Any] = {"model": "rerank-v3.5"}
DOCUMENTS = ["one", "two", "three"]
# httpx streams the body of a request from a generator, and trio warns if a cancellation interrupts that generator.
CANCELS_UPLOADS = pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator object ByteStream")
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
TIMEOUT_S = 10.0  # for something that should happen at once


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"row {number}", "query": f"query {number}", "documents": DOCUMENTS, **more}


def rows(n: int) -> list[dict[str, Any]]:
    return [row(number) for number in range(n)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait inside a reply until the server has seen something."""
    while not condition():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)


def is_right(number: int, response: Any) -> bool:
    """Return whether these are the scores that the server computes for row *number*."""
    return response.scores == [score(f"query {number}", document) for document in DOCUMENTS]


class Driver:
    """Runs a whole batch on one kind of client and keeps its outcomes, even if an exception ends it."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.outcomes: list[tuple[Any, Any]] = []
        self._settings = {"api_key": "test-key", "base_url": url}

    @property
    def ids(self) -> list[Any]:
        return [row_id for row_id, _ in self.outcomes]

    def run(self, requests: Any, *, client: dict[str, Any] | None = None, **options: Any) -> list[tuple[Any, Any]]:
        settings = {**self._settings, **(client or {})}
        options = {**COMMON, **options}
        if self.kind != "sync":
            anyio.run(self._run, requests, settings, options, backend=self.kind)
            return self.outcomes
        with ClientV2(**settings) as blocking:
            for outcome in blocking.rerank_many(requests, **options):
                self.outcomes.append(outcome)
        return self.outcomes

    async def _run(self, requests: Any, settings: dict[str, Any], options: dict[str, Any]) -> None:
        async with AsyncClientV2(**settings) as client, aclosing(client.rerank_many(requests, **options)) as batch:
            async for outcome in batch:
                self.outcomes.append(outcome)
