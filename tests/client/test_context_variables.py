"""Context variables, such as those of tracers and loggers, reach every thread and task that the library starts."""

from __future__ import annotations

import asyncio
import json
import threading
from contextvars import ContextVar

import pytest

from cohere_rerank import AsyncClientV2, Hedge, RateLimit
from cohere_rerank.jobs import run_job, run_job_async
from tests.adapters import is_async
from tests.fake_server import error, hang

TRACE = ContextVar("trace", default="none")
ROW = {"query": "q", "documents": ["a", "b", "c"]}


@pytest.fixture
def seen():
    """The values that ``note`` saw. The caller's context has the value "of the caller"."""
    token = TRACE.set("of the caller")
    yield []
    TRACE.reset(token)


@pytest.fixture
def note(seen):
    """A function that any part of the library may call: it notes the value and returns a key."""

    def function(*arguments):
        seen.append(TRACE.get())
        return "a-key"

    return function


async def all_of(batch):
    return [answer async for answer in batch]


@pytest.mark.parametrize("kind", ["split", "batch"])
def test_a_context_variable_reaches_each_request(make_either, note, seen, kind):
    """The function that returns the key runs for each request, in the thread or task that sends it."""
    adapter = make_either(note)
    if kind == "split":
        adapter.rerank(model="m", **ROW, max_documents_per_request=1)
    elif is_async(adapter):
        adapter._loop.run_until_complete(all_of(adapter.client.rerank_many([ROW] * 3, model="m")))
    else:
        list(adapter.client.rerank_many([ROW] * 3, model="m"))
    assert seen == ["of the caller"] * 3


def test_a_context_variable_reaches_a_second_request(server, make_either, note, seen):
    """That of a late request, which ``hedge=`` sends in a thread or task of its own."""
    client = make_either(note, hedge=Hedge(max_extra=0.5, min_samples=4))
    for _ in range(4):
        client.rerank(model="m", **ROW)
    server.script(hang())
    client.rerank(model="m", **ROW)
    assert len(server.requests) == 6
    assert seen == ["of the caller"] * 6


@pytest.mark.parametrize("way", ["fallback", "scorer"])
def test_a_context_variable_reaches_a_scorer(server, make_either, note, seen, way):
    """The asynchronous client calls it in a worker thread."""

    def scorer(query, documents):
        note()
        return [0.5] * len(documents)

    server.default = error(503, "down")
    options = {"fallback": scorer, "max_retries": 0} if way == "fallback" else {"base_url": "local:", "scorer": scorer}
    make_either(**options).rerank(model="m", **ROW)
    assert seen == ["of the caller"]


def test_a_context_variable_reaches_events(server, make_either, note, seen, clock):
    """Of requests, responses and retries, also in the threads of a split list."""
    server.script(error(503, "down"))
    make_either(on_event=note, clock=clock).rerank(model="m", **ROW, max_documents_per_request=1)
    assert seen == ["of the caller"] * (4 + 4 + 1)


class NotingStore:
    """A store of a shared limit that notes the value."""

    def __init__(self, note):
        self.note = note
        self.was_paused = threading.Event()

    def acquire(self, limit, now_s):
        self.note()
        return 0.0

    def pause(self, limit, seconds, now_s):
        self.note()
        self.was_paused.set()


def test_a_context_variable_reaches_a_shared_store(server, make_either, note, seen, clock):
    """It is asked in a worker thread, and paused in a thread of its own."""
    store = NotingStore(note)
    server.script(error(429, "slow down"))
    make_either(clock=clock, limit=RateLimit(per_minute=100, store=store)).rerank(model="m", **ROW)
    assert store.was_paused.wait(10)
    assert seen == ["of the caller"] * 3


@pytest.mark.parametrize("way", ["blocking", "async"])
def test_a_context_variable_reaches_a_job(server, note, seen, tmp_path, way):
    """Each request of it."""
    rows, output = tmp_path / "rows.jsonl", tmp_path / "ranked.jsonl"
    rows.write_text("".join(json.dumps(ROW) + "\n" for _ in range(3)))
    client = AsyncClientV2(note, base_url=server.url)
    if way == "blocking":
        run_job(rows, output, client=client, model="m")
    else:
        asyncio.run(run_job_async(rows, output, client=client, model="m"))
    assert seen == ["of the caller"] * 3
