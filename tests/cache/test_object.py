"""The `ScoreCache` object, and what responses and `usage` report about it."""

from __future__ import annotations

import pickle

import pytest

from cohere_rerank import AsyncClientV2, errors
from cohere_rerank.cache import ScoreCache
from tests.cache.helpers import ABC, CALL


def test_hits_and_bills_are_counted(server, make_either, cache):
    """A response that cost nothing reports 0 search units."""
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


def test_a_raw_response_from_the_cache_has_no_http_response(make_either):
    """Nothing was sent, so ``response`` and ``status_code`` are None."""
    client = make_either(cache=ScoreCache())
    client.rerank(**CALL, documents=ABC)
    raw = client.raw_rerank(**CALL, documents=ABC)
    assert (raw.response, raw.status_code) == (None, None)
    assert len(raw.data.results) == 3


@pytest.mark.parametrize(
    "options", [{"max_entries": 0}, {"max_entries": None}, {"max_entries": 1.5}, {"ttl_s": 0}, {"ttl_s": "1"}]
)
def test_invalid_settings_are_rejected(options):
    """The constructor raises."""
    with pytest.raises(errors.InvalidRequestError, match=next(iter(options))):
        ScoreCache(**options)


def test_a_pickled_cache_has_no_entries(tmp_path):
    """It keeps its settings, also as part of a client. A file is opened again."""
    for cache in (ScoreCache(max_entries=7, ttl_s=3), ScoreCache(path=tmp_path / "scores")):
        loaded = pickle.loads(pickle.dumps(cache))
        assert (repr(loaded), loaded.max_entries) == (repr(cache), cache.max_entries)
    client = pickle.loads(pickle.dumps(AsyncClientV2(base_url="local:", cache=ScoreCache(max_entries=7))))
    assert client._config.cache.max_entries == 7


def test_with_options_accepts_a_cache(server, make_client):
    """The copy uses the cache and the original does not."""
    client = make_client()
    cached = client.with_options(cache=ScoreCache())
    for one in (cached, cached, client):
        one.rerank(**CALL, documents=ABC)
    assert len(server.requests) == 2
