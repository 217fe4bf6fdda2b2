"""client.usage: what was used so far, honestly, over threads, tags and copies."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cohere_rerank import ApiError, AsyncClientV2, ClientV2, RateLimit
from tests.fake_server import good_reply, reply

CALL = {"model": "m", "query": "q", "documents": ["a", "b"]}


def test_a_new_client_has_used_nothing_and_knows_no_units(make_client):
    """An unknown number of units is None, never 0."""
    usage = make_client().usage
    assert (usage.calls, usage.requests, usage.retries, usage.search_units) == (0, 0, 0, None)
    assert usage.billed_units == {}


def test_every_request_counts_and_repeats_count_as_such(server, make_either, clock):
    server.script(reply(503), reply(503))
    client = make_either(clock=clock)
    client.rerank(**CALL)
    client.rerank(**CALL)
    usage = client.client.usage
    assert (usage.calls, usage.requests, usage.retries, usage.failed_calls) == (2, 4, 2, 0)
    assert len(server.requests) == usage.requests


def test_a_failed_call_counts_as_failed_and_its_requests_as_sent(server, make_either):
    server.script(reply(400))
    client = make_either()
    with pytest.raises(ApiError):
        client.rerank(**CALL)
    usage = client.client.usage
    assert (usage.calls, usage.failed_calls, usage.requests) == (1, 1, 1)


RESULTS = [{"index": index, "relevance_score": 0.5} for index in range(2)]


def test_units_are_summed_by_kind_kinds_yet_unknown_too(server, make_either):
    body = {"results": RESULTS}
    for units in ({"search_units": 1.0}, {"search_units": 2, "input_tokens": 7}, {"moon_units": 0.5}):
        server.script(reply(json={**body, "meta": {"billed_units": units}}))
    client = make_either()
    for _ in range(3):
        client.rerank(**CALL)
    assert client.client.usage.billed_units == {"search_units": 3.0, "input_tokens": 7, "moon_units": 0.5}
    assert client.client.usage.search_units == 3.0


@pytest.mark.parametrize("meta", [{}, {"meta": {}}, {"meta": {"billed_units": {}}}])
def test_a_reply_that_reports_no_units_leaves_them_unknown_and_says_so(server, make_either, meta):
    server.script(reply(json={"results": RESULTS, **meta}))
    client = make_either()
    client.rerank(**CALL)
    assert client.client.usage.search_units is None
    assert client.client.usage.unbilled_replies == 1


def test_units_of_a_part_count_though_its_call_fails(server, make_either):
    """A part of a split list that succeeded is billed, even if the call fails."""

    async def refused_once_the_other_was_read(exchange):
        while client.client.usage.search_units is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
        await reply(400)(exchange)

    server.script(good_reply(), refused_once_the_other_was_read)
    client = make_either(max_documents_per_request=1)
    with pytest.raises(ApiError):
        client.rerank(**CALL)
    assert client.client.usage.search_units == 1.0


def test_tags_divide_what_copies_share(make_client):
    client = make_client()
    client.with_options(tag="nightly").rerank(**CALL)
    client.with_options(tag="nightly").rerank(**CALL)
    client.rerank(**CALL)
    usage = client.usage
    assert usage.calls == 3
    assert {tag: part.calls for tag, part in usage.by_tag.items()} == {"nightly": 2, None: 1}
    assert usage.by_tag["nightly"].search_units == 2.0


def test_nothing_is_lost_between_threads():
    client = ClientV2(base_url="local:")

    def work() -> None:
        for _ in range(50):
            client.rerank(**CALL)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.usage.calls == client.usage.requests == 400


def test_nothing_is_lost_between_tasks_and_loops():
    client = AsyncClientV2(base_url="local:")

    async def work() -> None:
        await asyncio.gather(*(client.rerank(**CALL) for _ in range(20)))

    asyncio.run(work())
    asyncio.run(work())
    assert client.usage.calls == 40


def test_a_fallback_counts(server, make_either):
    server.script(reply(503))
    client = make_either(fallback="local", max_retries=0)
    client.rerank(**CALL)
    usage = client.client.usage
    assert (usage.calls, usage.fallbacks, usage.failed_calls) == (1, 1, 0)


def test_no_documents_cost_nothing(make_client):
    client = make_client()
    client.rerank(model="m", query="q", documents=[])
    assert client.usage.calls == 0


@pytest.mark.parametrize(
    ("setting", "value"), [("limit", "fast"), ("limit", 10), ("cache", True), ("cache", "disk"), ("tag", 7)]
)
def test_settings_of_the_wrong_kind_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        ClientV2("k", **{setting: value})


def test_a_row_of_a_batch_that_waits_for_its_turn_counts_once(server, make_client, clock):
    """A row whose deadline is shorter than its wait asks again. That is neither a second call nor a failure."""
    client = make_client(limit=RateLimit(per_minute=2), clock=clock, deadline=5)
    rows = [CALL] * 6
    assert len(list(client.rerank_many(rows, concurrency=1, on_error="raise"))) == 6
    usage = client.usage
    assert (usage.calls, usage.failed_calls, usage.requests) == (6, 0, 6)


def test_the_repr_shows_each_count_once(make_either):
    """What is not 0, and the tags only where there are any."""
    client = make_either()
    client.rerank(model="m", query="q", documents=["a"])
    assert repr(client.client.usage) == "ClientUsage(calls=1, requests=1, billed_units={'search_units': 1.0})"
    tagged = make_either(tag="shop")
    tagged.rerank(model="m", query="q", documents=["a"])
    assert "by_tag={'shop': ClientUsage(calls=1, requests=1" in repr(tagged.client.usage)
