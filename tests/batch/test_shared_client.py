"""Batches and single calls share one client and one limit, in two traffic classes."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import count

import anyio

from cohere_rerank import AsyncClientV2
from cohere_rerank.limits import RateLimit
from tests.batch.helpers import BACKENDS, CANCELS_UPLOADS, COMMON, DOCUMENTS, TIMEOUT_S, Driver, is_right, row, rows


@CANCELS_UPLOADS
@BACKENDS
def test_batches_and_single_calls_share_a_client(server, backend):
    """Single calls are answered while two endless batches run."""

    async def drain(client):
        async for _ in client.rerank_many((row(number) for number in count()), **COMMON):
            pass

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client, anyio.create_task_group() as group:
            group.start_soon(drain, client)
            group.start_soon(drain, client)
            for number in range(5):
                assert is_right(number, await client.rerank(**COMMON, query=f"query {number}", documents=DOCUMENTS))
            group.cancel_scope.cancel()

    anyio.run(main, backend=backend)


def test_rows_of_a_batch_wait_behind_single_calls(monkeypatch, driver):
    """They have the bulk traffic class."""
    from cohere_rerank._transport import http as http_module

    classes = []
    for name in ("Sender", "AsyncSender"):
        kind = getattr(http_module, name)
        monkeypatch.setattr(kind, "_prepared", seen_classes(kind._prepared, classes))
    driver.run(rows(3))
    assert classes == [1, 1, 1]


def test_a_batch_and_single_calls_share_a_limit(server, driver):
    """A concurrency of one holds for three batches together."""
    limit = RateLimit(per_minute=100_000, concurrency=1)
    others = [Driver(kind, server.url) for kind in ("sync", "asyncio")]
    threads = [
        threading.Thread(target=one.run, args=(rows(10),), kwargs={"client": {"limit": limit}}) for one in others
    ]
    for thread in threads:
        thread.start()
    driver.run(rows(10), client={"limit": limit})
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert all(one.ids == [f"row {number}" for number in range(10)] for one in (driver, *others))
    assert server.max_in_flight == 1


def test_a_row_waits_for_the_limit_beyond_the_deadline_of_a_call(driver, clock):
    """With a limit of one an hour each row is answered; a single call would fail at once."""
    limited = {"limit": RateLimit(requests=1, period_s=3600), "clock": clock, "deadline": 10}
    outcomes = driver.run(rows(3), client=limited, concurrency=1)  # on this clock several sleepers would add up
    assert all(is_right(number, response) for number, (_, response) in enumerate(outcomes))
    assert sum(clock.sleeps) >= 2 * 3600


def seen_classes(build, classes):
    def request(self, config, part, *arguments):
        classes.append(part.call.traffic_class)
        return build(self, config, part, *arguments)

    return request


def test_a_single_call_does_not_import_batch_or_cache():
    """Constructing a client does not either."""
    code = """
import sys
from cohere_rerank import ClientV2
ClientV2(base_url="local:").rerank(model="m", query="q", documents=["a"])
print(*(name for name in sys.modules if name.startswith(("cohere_rerank.batch", "cohere_rerank.cache"))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")
