"""Scores kept and used again: the same answers as without, fewer documents sent, nothing legible on disk."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import pickle
import sqlite3
import threading
from contextlib import suppress
from itertools import chain
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import AsyncClientV2, ClientV2, errors
from cohere_rerank.cache import ScoreCache
from tests.faces import own_client
from tests.server import error, hang, reply, score

PATIENCE_S = 10.0
CALL: dict[str, Any] = {"model": "rerank-v4.0-fast", "query": "q"}
ABC = ["aaa", "bbb", "ccc"]


def sent(server):
    """The documents of each request."""
    return [request.json["documents"] for request in server.requests]


def pairs(response):
    return [(item.index, item.relevance_score, item.document) for item in response.results]


@pytest.fixture(params=["memory", "file"])
def cache(request, tmp_path):
    return ScoreCache() if request.param == "memory" else ScoreCache(path=tmp_path / "scores")


class Pointwise:
    """A scorer of the kind whose scores may be kept; it counts what it scores."""

    name, version, pointwise = "test", "1", True

    def __init__(self):
        self.scored = []

    def score(self, query, documents):
        self.scored += documents
        return [score(query, document) for document in documents]


# What is sent ------------------------------------------------------------------------------------


def test_only_documents_without_a_score_are_sent(server, make_either, cache):
    """The rest is answered from the cache; the caller sees one ranking."""
    client = make_either(cache=cache)
    first = client.rerank(**CALL, documents=ABC)
    again = client.rerank(**CALL, documents=ABC)
    more = client.rerank(**CALL, documents=["ddd", "bbb", "eee", "aaa"])
    assert sent(server) == [ABC, ["ddd", "eee"]]
    assert pairs(again) == pairs(first)
    plain = make_either().rerank(**CALL, documents=["ddd", "bbb", "eee", "aaa"])
    assert pairs(more) == pairs(plain)


def test_the_same_text_is_sent_once(server, make_either, cache):
    """However often it stands in a list, and in whatever form it came."""
    response = make_either(cache=cache).rerank(**CALL, documents=["a: 1\n", {"a": 1}, "a: 1\n", "b"])
    assert sent(server) == [["a: 1\n", "b"]]
    assert sorted(item.index for item in response.results) == [0, 1, 2, 3]
    assert len(set(response.scores[:3])) == 1


def test_top_n_and_min_score_do_not_divide_the_cache(server, make_either, cache):
    """All scores are asked for, and the best given."""
    client = make_either(cache=cache)
    best = client.rerank(**CALL, documents=ABC, top_n=1)
    assert [len(client.rerank(**CALL, documents=ABC, top_n=n).results) for n in (2, 3, 9)] == [2, 3, 3]
    kept = client.rerank(**CALL, documents=ABC, min_score=best.results[0].relevance_score)
    assert pairs(kept) == pairs(best)
    assert sent(server) == [ABC]
    assert "top_n" not in server.requests[0].json


@pytest.mark.parametrize(
    "other",
    [
        {"query": "Q"},
        {"model": "rerank-v3.5"},
        {"max_tokens_per_doc": 99},
        {"relevant_spans": {"mode": "enabled"}},
        {"relevant_spans": {"mode": "enabled", "threshold": 0.5}},
        {"request_options": {"additional_body_parameters": {"max_tokens_per_doc": 98}}},
        {"request_options": {"additional_query_parameters": {"region": "eu"}}},
        {"request_options": {"additional_headers": {"x-route": "b"}}},
    ],
)
def test_what_may_change_a_score_is_told_apart(server, make_either, other):
    """The same documents are asked for again."""
    client = make_either(cache=ScoreCache())
    client.rerank(**CALL, documents=ABC)
    client.rerank(**{**CALL, **other}, documents=ABC)
    client.rerank(**{**CALL, **other}, documents=ABC)
    assert sent(server) == [ABC, ABC]


@pytest.mark.parametrize(
    "other",
    [{"priority": 5}, {"deadline": 100}, {"request_options": {"max_retries": 0, "timeout": 9}}, {"top_n": 2}],
)
def test_what_cannot_change_a_score_is_not(server, make_either, other):
    """One request serves both."""
    client = make_either(cache=ScoreCache())
    client.rerank(**CALL, documents=ABC)
    client.rerank(**CALL, **other, documents=ABC)
    assert sent(server) == [ABC]


def test_addresses_are_told_apart(server, make_either):
    """One cache may serve clients of several servers."""
    cache = ScoreCache()
    make_either(cache=cache).rerank(**CALL, documents=ABC)
    server.path = "/other/v2/rerank"
    make_either(cache=cache, base_url=f"{server.url}/other").rerank(**CALL, documents=ABC)
    assert len(server.requests) == 2


def test_spans_are_kept(make_either, cache):
    """With their texts, as the local engine gives them."""
    scorer = Pointwise()
    client = make_either(base_url="local:", scorer=scorer, cache=cache)
    call = {**CALL, "query": "capital of France", "relevant_spans": {"mode": "enabled"}}
    documents = ["Paris is the capital of France. It rains.", "nothing", "The capital of France, again."]
    first = client.rerank(**call, documents=documents)
    again = client.rerank(**call, documents=documents)
    assert scorer.scored == documents
    assert [item.span_texts for item in again.results] == [item.span_texts for item in first.results]
    assert any(item.span_texts for item in again.results)


def test_lists_without_documents_and_long_lists(server, make_either):
    """Nothing is sent for none; what is missing of a long list is split as ever."""
    client = make_either(cache=ScoreCache(), max_documents_per_request=2)
    assert client.rerank(**CALL, documents=[]).results == []
    client.rerank(**CALL, documents=ABC)
    client.rerank(**CALL, documents=[*ABC, "ddd"])
    assert sorted(chain.from_iterable(sent(server))) == [*ABC, "ddd"]


def test_a_document_that_the_server_leaves_out_is_asked_for_again(server, make_either):
    """Some servers have a top_n of their own."""
    client = make_either(cache=ScoreCache())
    server.script(reply(json={"results": [{"index": 1, "relevance_score": 0.5}]}))
    assert [item.index for item in client.rerank(**CALL, documents=ABC).results] == [1]
    assert len(client.rerank(**CALL, documents=ABC).results) == 3
    assert sent(server) == [ABC, ["aaa", "ccc"]]


@settings(max_examples=40, deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["p", "q"]),
            st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8),
            st.none() | st.integers(1, 9),
            st.none() | st.floats(0, 1),
        ),
        max_size=8,
    ),
    max_entries=st.integers(1, 16),
)
def test_answers_are_those_without_a_cache(calls, max_entries):
    """Whatever was asked before, however little fits in."""
    scorer = Pointwise()
    plain = ClientV2(base_url="local:", scorer=Pointwise())
    client = ClientV2(base_url="local:", scorer=scorer, cache=ScoreCache(max_entries=max_entries))
    for query, documents, top_n, min_score in calls:
        call = {"model": "m", "query": query, "documents": documents, "top_n": top_n, "min_score": min_score}
        assert pairs(client.rerank(**call)) == pairs(plain.rerank(**call))
    n_asked = sum(len(set(documents)) for _, documents, _, _ in calls)
    assert len(scorer.scored) <= n_asked
    if max_entries == 16:  # all there are
        assert len(scorer.scored) <= len({(query, one) for query, documents, _, _ in calls for one in documents})


# What is not kept --------------------------------------------------------------------------------


def test_scorers_that_look_at_the_whole_list_are_asked_each_time(make_either):
    """As the lexical scorer is, and any plain function."""
    seen = []

    def scorer(query, documents):
        seen.append(list(documents))
        return [0.5] * len(documents)

    client = make_either(base_url="local:", scorer=scorer, cache=ScoreCache())
    for _ in range(2):
        client.rerank(**CALL, documents=ABC, top_n=1)
    assert seen == [ABC, ABC]
    lexical, plain = make_either(base_url="local:", cache=ScoreCache()), make_either(base_url="local:")
    assert pairs(lexical.rerank(**CALL, documents=ABC)) == pairs(plain.rerank(**CALL, documents=ABC))
    assert lexical.client.usage.cache_misses == 0


def test_another_version_of_a_scorer_is_another_scorer(make_either):
    """Its scores may differ."""
    cache, old, new = ScoreCache(), Pointwise(), Pointwise()
    new.version = "2"
    for scorer in (old, new, old, new):
        make_either(base_url="local:", scorer=scorer, cache=cache).rerank(**CALL, documents=ABC)
    assert (old.scored, new.scored) == (ABC, ABC)


def test_errors_are_not_kept(server, make_either, cache):
    """The next call asks again."""
    client = make_either(cache=cache, max_retries=0)
    server.script(error(503, "down"))
    with pytest.raises(errors.ServiceUnavailableError):
        client.rerank(**CALL, documents=ABC)
    client.rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC, ABC]
    assert client.client.usage.failed_calls == 1


def test_a_fallback_answers_for_the_whole_list_and_is_not_kept(server, make_either, cache):
    """Its scores are never mixed with the API's."""
    client = make_either(cache=cache, max_retries=0, fallback=lambda query, documents: [0.25] * len(documents))
    client.rerank(**CALL, documents=["aaa"])
    server.script(error(503, "down"))
    response = client.rerank(**CALL, documents=ABC, top_n=2)
    assert response.is_fallback
    assert [item.relevance_score for item in response.results] == [0.25, 0.25]
    assert "the API answered 503: down" in response.meta.warnings[0].replace("The", "the")
    assert client.client.usage.fallbacks == 1
    assert not client.rerank(**CALL, documents=ABC).is_fallback
    assert sent(server) == [["aaa"], ["bbb", "ccc"], ["bbb", "ccc"]]


def test_what_is_too_old_is_asked_for_again(server, make_either, clock, tmp_path):
    """After ``ttl_s`` seconds."""
    for n, path in enumerate([None, tmp_path / "scores"], start=1):
        client = make_either(cache=ScoreCache(ttl_s=60, path=path), clock=clock)
        client.rerank(**CALL, documents=ABC)
        clock.advance(59)
        client.rerank(**CALL, documents=ABC)
        clock.advance(2)
        client.rerank(**CALL, documents=ABC)
        assert len(server.requests) == 2 * n


def test_the_oldest_go_when_it_is_full(server, make_either, tmp_path):
    """In memory what was not used for longest; on disk what was written first."""
    for path, gone in [(None, "bbb"), (tmp_path / "scores", "aaa")]:
        server.requests.clear()
        client = make_either(cache=ScoreCache(max_entries=3, path=path))
        for document in ["aaa", "bbb", "ccc", "aaa", "ddd", gone]:
            client.rerank(**CALL, documents=[document])
        assert sent(server) == [["aaa"], ["bbb"], ["ccc"], ["ddd"], [gone]]


def test_clear_forgets(server, make_either, cache):
    """For all who use the cache."""
    client = make_either(cache=cache)
    client.rerank(**CALL, documents=ABC)
    cache.clear()
    client.rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC, ABC]


# What it says ------------------------------------------------------------------------------------


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


# Many at once ------------------------------------------------------------------------------------


def test_identical_calls_at_once_share_one_request(server, make_client):
    """Threads."""
    client = make_client(cache=ScoreCache())
    answers: list[Any] = []
    with server.hold():
        threads = [
            threading.Thread(target=lambda: answers.append(client.rerank(**CALL, documents=ABC)), daemon=True)
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        server.wait_until(lambda s: s.n_in_flight == 1)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(answers) == 8
    assert all(pairs(one) == pairs(answers[0]) for one in answers)
    assert sent(server) == [ABC]
    assert (client.usage.cache_misses, client.usage.cache_hits) == (3, 21)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_overlapping_calls_at_once_send_each_document_once(server, make_async_client, backend):
    """Tasks; nobody waits for anybody in a circle."""
    answers: dict[int, Any] = {}

    async def ask(client, number):
        documents = [f"document {(number + i) % 8}" for i in range(4)]
        answers[number] = documents, await client.rerank(**CALL, documents=documents)

    async def main():
        async with make_async_client(cache=ScoreCache()) as client, anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(ask, client, number)

    anyio.run(main, backend=backend)
    assert len(answers) == 8
    for documents, response in answers.values():
        assert response.scores == [score("q", document) for document in documents]
    assert sorted(chain.from_iterable(sent(server))) == [f"document {i}" for i in range(8)]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_call_does_not_take_others_along(server, make_async_client, backend):
    """Who waited for its answer asks on its own account."""
    server.script(hang())
    answers = []

    async def ask(client):
        answers.append(await client.rerank(**CALL, documents=ABC))

    async def main():
        async with make_async_client(cache=ScoreCache()) as client, anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as leaders:
                    leaders.start_soon(ask, client)
                    await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_in_flight == 1)
                    group.start_soon(ask, client)
                    await anyio.sleep(0.01)
                    scope.cancel()

    anyio.run(main, backend=backend)
    assert len(answers) == 1
    assert sent(server) == [ABC, ABC]


def test_a_failed_call_does_not_fail_others(server, make_client):
    """They ask themselves, and learn their own fate."""
    client = make_client(cache=ScoreCache(), max_retries=0)
    outcomes: list[Any] = []

    def ask():
        try:
            outcomes.append(client.rerank(**CALL, documents=ABC))
        except errors.CohereRerankError as failure:
            outcomes.append(failure)

    server.script(error(503, "down"))
    with server.hold():
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        server.wait_until(lambda s: s.n_in_flight == 1)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ServiceUnavailableError", "V2RerankResponse"]
    assert len(server.requests) == 2


def test_who_waits_keeps_to_the_deadline(server, make_either):
    """Of its own call, not of the one it waits for."""
    cache = ScoreCache()
    server.script(hang())
    first = ClientV2("test-key", base_url=server.url, cache=cache, max_retries=0, deadline=5)

    def lead():
        with suppress(errors.ConnectionFailedError):
            first.rerank(**CALL, documents=ABC)

    leader = threading.Thread(target=lead)
    leader.start()
    server.wait_until(lambda s: s.n_in_flight == 1)
    with pytest.raises(errors.DeadlineExceededError):
        make_either(cache=cache).rerank(**CALL, documents=ABC, deadline=0.05)
    assert len(server.requests) == 1
    server.drop_connections()
    leader.join(PATIENCE_S)
    first.close()


# On disk -----------------------------------------------------------------------------------------


def test_a_file_serves_later_processes(server, make_either, tmp_path):
    """Scores outlive the cache object."""
    for _ in range(2):
        make_either(cache=ScoreCache(path=str(tmp_path / "scores"))).rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC]


def test_no_text_and_no_unkeyed_digest_is_on_disk(make_either, tmp_path):
    """Two files hold nothing in common that would tell that their documents are the same."""
    contents = []
    for name in ("one", "two"):
        make_either(cache=ScoreCache(path=tmp_path / name)).rerank(
            model="m", query="a secret query", documents=["a secret document"]
        )
        contents.append(b"".join(path.read_bytes() for path in tmp_path.glob(f"{name}*")))
        database = sqlite3.connect(tmp_path / name)
        contents.append(database.execute("SELECT key FROM scores").fetchall())
        database.close()
    assert not any(b"secret query" in content or b"secret document" in content for content in contents[::2])
    assert contents[1] != contents[3]
    if os.name == "posix":
        assert (tmp_path / "one").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    """And left as it is; the error names it."""
    (tmp_path / "notes.txt").write_text("these are notes\n" * 100)
    with pytest.raises(errors.InvalidRequestError, match=r"notes\.txt' cannot be used"):
        ScoreCache(path=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text().startswith("these are notes")
    with pytest.raises(errors.InvalidRequestError, match="cannot be used"):
        ScoreCache(path=tmp_path / "no" / "folder")
    other = sqlite3.connect(tmp_path / "newer")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(errors.InvalidRequestError, match="format 99"):
        ScoreCache(path=tmp_path / "newer")


def test_a_file_in_trouble_costs_hits_and_no_answers(server, make_either, tmp_path, caplog):
    """What was paid for is given; the log says so once."""
    client = make_either(cache=ScoreCache(path=tmp_path / "scores"))
    client.rerank(**CALL, documents=ABC)
    breaker = sqlite3.connect(tmp_path / "scores")
    breaker.execute("DROP TABLE scores")
    breaker.close()
    with caplog.at_level(logging.WARNING, logger="cohere_rerank"):
        for _ in range(2):
            assert len(client.rerank(**CALL, documents=ABC).results) == 3
    assert len(server.requests) == 3
    assert len([record for record in caplog.records if "cache file" in record.message]) == 1


def ask_in_process(url: str, path: str, start: Any) -> None:
    start.wait(PATIENCE_S)
    with ClientV2("test-key", base_url=url, cache=ScoreCache(path=path)) as client:
        for number in range(20):
            documents = [f"document {number} {i}" for i in range(20)]
            assert client.rerank(**CALL, documents=documents).scores == [score("q", one) for one in documents]


def test_processes_share_a_file(server, tmp_path):
    """Several write at once; none fails, and what one has written another need not send."""
    path = str(tmp_path / "scores")
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    workers = [context.Process(target=ask_in_process, args=(server.url, path, start)) for _ in range(2)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    n_sent = len(server.requests)
    start.set()
    ask_in_process(server.url, path, start)
    assert len(server.requests) == n_sent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_cache_works_on_in_a_forked_process(server, cache):
    """Also if another thread was inside of it at that moment, or a request was under way."""
    client = ClientV2("test-key", base_url=server.url, cache=cache)
    client.rerank(**CALL, documents=ABC)
    cache._flights[b"never ends"] = object()
    with cache._store._lock:
        pid = os.fork()
        if pid == 0:
            try:
                fine = client.rerank(**CALL, documents=[*ABC, "ddd"]).scores == [score("q", d) for d in [*ABC, "ddd"]]
                os._exit(0 if fine and not cache._is_flying([b"never ends"]) else 1)
            finally:
                os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert sent(server) == [ABC, ["ddd"]]
    client.close()


# The object --------------------------------------------------------------------------------------


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


def test_unknown_fields_of_a_reply_are_kept_for_that_reply_only(make_either):
    """They may be anything, such as an echo of the document."""
    import httpx

    def handler(request):
        results = [{"index": 0, "relevance_score": 0.5, "extra": 1}]
        return httpx.Response(200, json={"id": "x", "results": results, "more": 2})

    client = own_client(make_either, handler, cache=ScoreCache())
    first, again = (client.rerank(**CALL, documents=["a"]) for _ in range(2))
    assert (first.results[0].extra, first.more, first.id) == (1, 2, "x")
    assert not hasattr(again.results[0], "extra")
    assert again.id is None


def test_event_loops_share_a_cache(server):
    """And wait for each other's requests."""
    cache = ScoreCache()
    answers = []

    async def ask():
        async with AsyncClientV2("test-key", base_url=server.url, cache=cache) as client:
            answers.append(pairs(await client.rerank(**CALL, documents=ABC)))

    with server.hold():
        threads = [threading.Thread(target=lambda: asyncio.run(ask()), daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        server.wait_until(lambda s: s.n_in_flight == 1)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(answers) == 3
    assert len(server.requests) == 1
