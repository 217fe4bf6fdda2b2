"""A process has one limiter for each key, limit and address."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, RateLimit
from cohere_rerank._calls import calls_of
from cohere_rerank._clock import Deadline, SystemClock
from cohere_rerank.limits import limiter as limiter_module
from cohere_rerank.testing import FakeClock


def limiter_of(key="k", url="https://api.example", limit="trial", client=ClientV2, **options):
    return own_limiter(client(key, base_url=url, limit=limit, **options))


def own_limiter(client):
    calls = calls_of(client)
    return calls._limiter(calls.config.api_key)


def test_clients_with_the_same_key_limit_and_address_share_a_limiter():
    """The spelling of the address and the kind of client make no difference."""
    limiter = limiter_of(limit=RateLimit(per_minute=7))
    assert limiter_of(limit=RateLimit(requests=7, period_s=60.0)) is limiter
    assert limiter_of(limit=RateLimit(per_minute=7), url="https://api.example/v2/") is limiter
    assert limiter_of(limit=RateLimit(per_minute=7), client=AsyncClientV2) is limiter
    assert limiter_of(limit=RateLimit(per_minute=7), timeout=5) is limiter


def test_another_key_limit_name_or_address_has_a_limiter_of_its_own():
    """Each of them counts separately."""
    limiters = [
        limiter_of(),
        limiter_of(key="other"),
        limiter_of(url="https://other.example"),
        limiter_of(limit="production"),
        limiter_of(limit="auto"),
        limiter_of(limit=RateLimit(per_minute=10, name="other")),
    ]
    assert len(set(limiters)) == len(limiters)


def test_a_function_that_returns_keys_identifies_the_limiter():
    """The function is compared by identity, even if it has no hash."""

    class Keys:
        __hash__ = None

        def __call__(self):
            return "k"

    keys = Keys()
    assert limiter_of(key=keys) is limiter_of(key=keys)
    assert limiter_of(key=Keys()) is not limiter_of(key=keys)


def test_limiters_of_unused_keys_are_evicted(monkeypatch):
    """A service with one key per user keeps the limiters of the last hour."""
    monkeypatch.setattr(limiter_module, "_limiters", {})
    clock = FakeClock()

    def used(key):
        limiter = limiter_of(key, clock=clock)
        limiter.acquire(clock, Deadline(clock, 10), 0)
        return limiter

    busy, waited_for = used("busy"), used("recent")
    for number in range(1200):
        used(f"key {number}").release()
    assert len(limiter_module._limiters) == 1202
    clock.advance(3000)
    waited_for.release()
    clock.advance(700)
    used("new")
    assert len(limiter_module._limiters) == 3
    assert limiter_of("busy", clock=clock) is busy
    assert limiter_of("recent", clock=clock) is waited_for


def test_the_presets_are_the_documented_limits():
    """The trial key has 10 requests a minute and the production key 1,000."""
    assert limiter_of(limit="trial") is limiter_of(limit=RateLimit(per_minute=10))
    assert limiter_of(limit="production") is limiter_of(limit=RateLimit(per_minute=1000))


def _child(client, queue):
    clock = SystemClock()
    limiter = own_limiter(client)
    limiter.acquire(clock, Deadline(clock, 5), 0)
    limiter.release()
    queue.put(os.getpid())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_limiter_of_its_own():
    """Even if a thread of the parent holds the lock at the moment of the fork."""
    client = ClientV2("fork", base_url="https://api.example", limit=RateLimit(per_minute=1))
    clock, limiter = SystemClock(), own_limiter(client)
    limiter.acquire(clock, Deadline(clock, 5), 0)
    limiter.release()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with limiter._lock:
        child = context.Process(target=_child, args=(client, queue))
        child.start()
    assert queue.get(timeout=20) == child.pid
    child.join(20)
    assert child.exitcode == 0
