"""The cache as an object, and what an answer and `usage` say of it."""

from __future__ import annotations

import pickle

import pytest

from cohere_rerank import AsyncClientV2, errors
from cohere_rerank.cache import ScoreCache
from tests.cache.calls import ABC, CALL


def test_hits_and_bills_are_counted(server, make_either, cache):
    """An answer that cost nothing says so; one that cost something says what."""
    client = make_either(cache=cache, tag="nightly")
    units = [
        client.rerank(**CALL, documents=documents).meta.billed_units.search_units
        for documents in (ABC, ABC, [*ABC, "aaa", "ddd"])
    ]
    assert units == [1, 0, 1]
    usage = client.client.usage
    assert (usage.cache_hits, usage.cache_misses, usage.requests, usage.calls) == (7, 4, 2, 3)
    assert usage.by_tag["nightly"].cache_hits == 7
    assert usage.search_units == 2


def test_a_raw_response_of_a_cached_answer_has_no_reply(make_either):
    """As for any answer that nothing was sent for."""
    client = make_either(cache=ScoreCache())
    client.rerank(**CALL, documents=ABC)
    raw = client.raw_rerank(**CALL, documents=ABC)
    assert (raw.response, raw.status_code) == (None, None)
    assert len(raw.data.results) == 3


@pytest.mark.parametrize(
    "options", [{"max_entries": 0}, {"max_entries": None}, {"max_entries": 1.5}, {"ttl_s": 0}, {"ttl_s": "1"}]
)
def test_wrong_settings_are_refused(options):
    """When the cache is made."""
    with pytest.raises(errors.InvalidRequestError, match=next(iter(options))):
        ScoreCache(**options)


def test_a_cache_travels_without_its_entries(tmp_path):
    """As part of a client, to a worker; on disk, they are found again there."""
    for cache in (ScoreCache(max_entries=7, ttl_s=3), ScoreCache(path=tmp_path / "scores")):
        loaded = pickle.loads(pickle.dumps(cache))
        assert (repr(loaded), loaded.max_entries) == (repr(cache), cache.max_entries)
    client = pickle.loads(pickle.dumps(AsyncClientV2(base_url="local:", cache=ScoreCache(max_entries=7))))
    assert client._config.cache.max_entries == 7


def test_with_options_takes_a_cache(server, make_client):
    """A copy has it, the original does not."""
    client = make_client()
    cached = client.with_options(cache=ScoreCache())
    for one in (cached, cached, client):
        one.rerank(**CALL, documents=ABC)
    assert len(server.requests) == 2
