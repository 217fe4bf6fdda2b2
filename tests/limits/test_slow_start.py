"""limit="auto" with a server of which nothing is known: a slow start that doubles until the first 429."""

from __future__ import annotations

import random

import pytest

from cohere_rerank import AsyncClientV2, ClientV2
from cohere_rerank._clock import Deadline
from cohere_rerank._transport.errors import rate_limit_wait_error
from cohere_rerank.limits.adaptive import AUTO, Adaptive
from cohere_rerank.limits.limiter import limiter_for
from tests.limits.servers import Bucket, FixedWindow, SlidingWindowServer, drive
from tests.limits.virtual_clock import VirtualClock

SERVERS = pytest.mark.parametrize("server", [Bucket, FixedWindow, SlidingWindowServer])


def job_s(limiter, n_rows, *, concurrency, reply_s, server=None):
    """Return the seconds that a job takes whose workers send one row after the other, and its number of 429s."""
    clock, rows, n_rejected = VirtualClock(), iter(range(n_rows)), 0

    async def worker():
        nonlocal n_rejected
        for _ in rows:
            while True:
                await limiter.acquire_async(clock, Deadline(clock, 1e6), 1)
                is_rejected = server is not None and server.wait_s(clock.now_s) > 0
                await clock.async_sleep(reply_s)
                limiter.on_response(clock, 429 if is_rejected else 200, {}, None)
                limiter.release()
                if not is_rejected:
                    break
                n_rejected += 1

    clock.run("asyncio", *[worker] * concurrency)
    return clock.now_s - 1_000.0, n_rejected


def auto(address="http://127.0.0.1:8080", *, key):
    options = {"key": key, "clock": None, "wait_error": rate_limit_wait_error}
    return limiter_for("auto", address=address, is_cohere=False, **options)


@pytest.mark.parametrize(
    ("n_rows", "reply_s"),
    [(4_000, 0.08), pytest.param(20_000, 0.016, marks=pytest.mark.exhaustive)],
)
def test_a_job_on_a_server_without_limits_takes_what_the_concurrency_allows(n_rows, reply_s):
    """At most 1.3 times as long. Ten seconds are the least for these jobs."""
    concurrency = 32
    took_s, _ = job_s(auto(key=n_rows), n_rows, concurrency=concurrency, reply_s=reply_s)
    assert took_s <= 1.3 * n_rows / concurrency * reply_s


@SERVERS
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_a_hidden_limit_is_found_after_a_slow_start(server, n):
    """At least three quarters of it are used after ten minutes, and few requests are rejected."""
    draw = random.Random(0)
    sent = drive(
        Adaptive(AUTO, slow_start=True),
        server(n, 60, 10),
        until_s=25 * 60,
        delays=lambda: (0.0, draw.uniform(0.05, 0.5)),
    )
    late = [request for request in sent if request.arrived_s >= 10 * 60]
    n_good = sum(request.status == 200 for request in late)
    assert n_good >= 0.75 * n * 15
    assert len(late) - n_good <= 15 * (2 + 0.02 * n)


def test_a_server_that_rejects_without_a_hint_is_probed_by_one_request():
    """Waits are a second and double: a minute, as Cohere's, is not assumed. Each pause costs one rejection."""
    took_s, n_rejected = job_s(auto(key="probe"), 60, concurrency=8, reply_s=0.1, server=FixedWindow(20, 10))
    assert took_s <= 40
    assert n_rejected <= 8 + 4 * 5


def test_the_first_429_halves_what_was_really_sent():
    """The rate that the slow start had reached does not matter, because it was perhaps never used."""
    algorithm = Adaptive(AUTO, slow_start=True)
    for k in range(400):  # 200 a second
        algorithm.acquire(k / 200)
        algorithm.on_complete(k / 200)
        algorithm.on_response(k / 200, 200, {})
    assert algorithm.rate > 12_000
    algorithm.on_response(2.0, 429, {})
    assert algorithm.rate == pytest.approx(6_000, rel=0.02)


def test_a_rate_that_is_not_used_does_not_grow():
    """Only requests that had to wait show that the rate is the bottleneck."""
    algorithm = Adaptive(AUTO, slow_start=True)
    for k in range(100):
        assert algorithm.acquire(float(k)) == 0.0
        algorithm.on_complete(float(k))
        algorithm.on_response(float(k), 200, {})
    assert algorithm.rate == AUTO.requests


@pytest.mark.parametrize("kind", [ClientV2, AsyncClientV2])
@pytest.mark.parametrize(
    ("url", "slow_start"),
    [
        ("https://api.cohere.com", False),
        ("https://api.cohere.ai/v2", False),
        ("https://stg.api.cohere.com:443", False),
        ("https://api.cohere.com.example", True),
        ("https://cohere.com.example/api.cohere.com", True),
        ("http://127.0.0.1:8080", True),
    ],
)
def test_only_addresses_of_cohere_start_with_cohere_s_limit(kind, url, slow_start):
    """Other servers may have no limit, or a lower one."""
    calls = kind("slow-start-key", base_url=url, limit="auto")._calls
    limiter = calls._limiter(calls.config.api_key)
    assert limiter._knows_period is not slow_start
