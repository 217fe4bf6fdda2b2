"""A limit is a validated value that can be compared, hashed, copied and pickled."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from cohere_rerank import InvalidRequestError, RateLimit
from cohere_rerank.limits.memory import MemoryStore
from cohere_rerank.limits.rate_limit import PRESETS


def test_per_minute_is_short_for_requests_in_sixty_seconds():
    """Both forms make equal values."""
    limit = RateLimit(per_minute=1000)
    assert limit == RateLimit(requests=1000, period_s=60)
    assert limit == RateLimit(requests=1000)
    assert hash(limit) == hash(RateLimit(requests=1000, period_s=60))
    assert limit != RateLimit(per_minute=1000, burst=10)
    assert limit != RateLimit(per_minute=1000, name="other")


def test_the_presets_are_what_cohere_documents():
    """Trial keys 10 requests a minute, production keys 1,000, in any minute."""
    assert PRESETS["trial"] == RateLimit(per_minute=10)
    assert PRESETS["production"] == RateLimit(per_minute=1000)


def test_a_limit_survives_copies_and_pickles_and_does_not_change():
    """It can be sent to other processes and cannot be changed."""
    limit = RateLimit(requests=7, period_s=2.5, burst=3, concurrency=4, name="n")
    assert pickle.loads(pickle.dumps(limit)) == copy.deepcopy(limit) == limit
    assert dataclasses.replace(limit, burst=None).burst is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        limit.requests = 8


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "needs per_minute"),
        ({"period_s": 60}, "needs per_minute"),
        ({"per_minute": 10, "requests": 10}, "not both"),
        ({"per_minute": 10, "period_s": 60}, "not both"),
        ({"per_minute": 0}, "per_minute must be a whole number, at least 1, got 0"),
        ({"per_minute": 1.5}, "got 1.5"),
        ({"per_minute": True}, "per_minute"),
        ({"per_minute": "10"}, "per_minute"),
        ({"requests": -1}, "requests must be"),
        ({"requests": 1, "period_s": 0}, "period_s"),
        ({"requests": 1, "period_s": float("nan")}, "period_s"),
        ({"requests": 1, "period_s": float("inf")}, "period_s"),
        ({"per_minute": 10, "burst": 0}, "burst"),
        ({"per_minute": 10, "concurrency": 0}, "concurrency"),
        ({"per_minute": 10, "store": "redis://"}, "acquire and pause, as FileStore has, got 'redis://'"),
        ({"per_minute": 10, "name": 5}, "name must be a string, got 5"),
    ],
)
def test_an_invalid_limit_is_refused(arguments, says):
    """The error contains the argument, its value and what is allowed."""
    with pytest.raises(InvalidRequestError, match=says):
        RateLimit(**arguments)


def test_a_store_is_any_object_with_acquire_and_pause():
    """Stores are a protocol, not a class."""
    store = MemoryStore()
    assert RateLimit(per_minute=1, store=store).store is store
