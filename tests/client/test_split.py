"""Lists that go out as several requests: the same answer as one would give, and nothing silently dropped."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import ClientV2, RetryPolicy, errors
from tests.adapters import client_with_handler
from tests.fake_server import error, hang, reply, respond, score

CALL: dict[str, Any] = {"model": "rerank-v3.5", "query": "q"}
TEN = [f"document {i}" for i in range(10)]


def order(documents):
    """What one request would return."""
    return sorted(range(len(documents)), key=lambda i: (-score("q", documents[i]), i))


def ranking(response):
    return [item.index for item in response.results]


def shares(server):
    """The documents of each request, in the order of the list."""
    return sorted((request.json["documents"] for request in server.requests), key=lambda share: TEN.index(share[0]))


# When and where ----------------------------------------------------------------------------------


def test_10000_documents_are_one_request(server, make_either):
    """Cohere's hard limit goes out whole, as the official client sends it."""
    documents = [str(i) for i in range(10_000)]
    response = make_either().rerank(**CALL, documents=documents)
    assert len(server.requests) == 1
    assert ranking(response) == order(documents)


def test_one_more_is_two(server, make_either):
    """In equal shares, merged to what one request would have given."""
    documents = [str(i) for i in range(10_001)]
    response = make_either().rerank(**CALL, documents=documents)
    assert sorted(len(request.json["documents"]) for request in server.requests) == [5000, 5001]
    assert ranking(response) == order(documents)
    assert all(item.document is documents[item.index] for item in response.results)
    assert response.scores == [score("q", document) for document in documents]


@pytest.mark.parametrize(
    ("client_limit", "call_limit", "sizes"),
    [
        (None, None, [10]),
        (None, 10, [10]),
        (None, 9, [5, 5]),
        (4, None, [3, 3, 4]),
        (4, 3, [2, 3, 2, 3]),
        (3, 10, [10]),
        (None, 1, [1] * 10),
    ],
)
def test_the_limit_can_be_lowered(server, make_either, client_limit, call_limit, sizes):
    """For the client, and for a call, which outranks it; shares are equal and in order."""
    client = make_either(max_documents_per_request=client_limit)
    assert ranking(client.rerank(**CALL, documents=TEN, max_documents_per_request=call_limit)) == order(TEN)
    assert [len(share) for share in shares(server)] == sizes
    assert [document for share in shares(server) for document in share] == TEN


def test_every_request_says_the_same_but_for_its_documents(server, make_either):
    """All fields and headers go with every share; ``top_n`` is never larger than a share needs."""
    make_either().rerank(
        **CALL,
        documents=TEN,
        top_n=5,
        max_tokens_per_doc=99,
        priority=3,
        max_documents_per_request=4,
        request_options={"additional_headers": {"x-a": "1"}, "additional_query_parameters": {"b": 2}},
    )
    for request in server.requests:
        asked = request.json
        documents = asked.pop("documents")
        assert asked == {**CALL, "top_n": min(5, len(documents)), "max_tokens_per_doc": 99, "priority": 3}
        assert request.header("x-a") == "1"
        assert request.path == "/v2/rerank?b=2"
    assert len(server.requests) == 3


def test_the_local_engine_is_never_split(make_either):
    """Its scorer may look at the whole list, so it gets the whole list, however long."""
    seen = []

    def scorer(query, documents):
        seen.append(len(documents))
        return [0.5] * len(documents)

    client = make_either(base_url="local:", scorer=scorer, max_documents_per_request=3)
    assert ranking(client.rerank(**CALL, documents=TEN)) == list(range(10))
    client.rerank(**CALL, documents=TEN, max_documents_per_request=2)
    assert len(client.rerank(**CALL, documents=["x"] * 10_001).results) == 10_001
    assert seen == [10, 10, 10_001]


# Merging -----------------------------------------------------------------------------------------


def plain(request):
    """``tests.fake_server.respond`` without sockets, for many examples."""
    status, payload = respond(request.content)
    return httpx.Response(status, json=payload)


WITHOUT_SOCKETS = ClientV2("k", httpx_client=httpx.Client(transport=httpx.MockTransport(plain)))
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "dd", "e e", "🦜"]), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(1, 12), st.none() | st.integers(1, 13), st.none() | st.floats(0, 1))
def test_split_equals_whole(documents, limit, top_n, min_score):
    """Any list, doubles and ties included, cut anywhere, with any top_n and min_score."""
    call = {**CALL, "documents": documents, "top_n": top_n, "min_score": min_score}
    spans = {"relevant_spans": {"mode": "enabled", "threshold": 0}}
    whole = WITHOUT_SOCKETS.rerank(**call, **spans)
    split = WITHOUT_SOCKETS.rerank(**call, **spans, max_documents_per_request=limit)
    assert split.results == whole.results
    assert split.scores == whole.scores
    assert [item.document for item in split.results] == [item.document for item in whole.results]


def test_ties_across_shares_go_by_index(make_either, respx_mock):
    """However the shares come back."""
    respx_mock.post().respond(json={"results": [{"index": i, "relevance_score": 0.5} for i in (1, 0)]})
    assert ranking(make_either().rerank(**CALL, documents=list("abcdef"), max_documents_per_request=2)) == list(
        range(6)
    )


def test_top_n_is_applied_to_the_merged_list(server, make_either):
    """The best of all, not some of each share; also when it came as an additional body parameter."""
    client = make_either(max_documents_per_request=3)
    assert ranking(client.rerank(**CALL, documents=TEN, top_n=2)) == order(TEN)[:2]
    options = {"additional_body_parameters": {"top_n": 2}}
    assert ranking(client.rerank(**CALL, documents=TEN, request_options=options)) == order(TEN)[:2]


def meta_handler(request):
    """Bills by the document, warns once in common and once for each share."""
    documents = json.loads(request.content)["documents"]
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": len(documents), "new_units": 2},
        "tokens": {"input_tokens": 10},
        "cached_tokens": 1,
        "warnings": ["common", f"about {documents[0]}"],
    }
    results = [{"index": i, "relevance_score": 0.5, "new": i} for i in range(len(documents))]
    return httpx.Response(200, json={"id": documents[0], "results": results, "meta": meta, "new": 1})


def test_meta_is_that_of_all_shares(make_either):
    """Units and tokens are summed, warnings joined, each once and in order; the rest is the first share's."""
    client = client_with_handler(make_either, meta_handler)
    response = client.rerank(**CALL, documents=TEN, max_documents_per_request=4)
    assert response.meta.billed_units.search_units == 10
    assert response.meta.billed_units.new_units == 6
    assert response.meta.billed_units.images is None
    assert response.meta.tokens.input_tokens == 30
    assert response.meta.cached_tokens == 3
    assert response.meta.warnings == ["common", "about document 0", "about document 3", "about document 6"]
    assert response.meta.api_version.version == "2"
    assert (response.id, response.new) == ("document 0", 1)
    assert [item.new for item in response.results] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 3]


def test_shares_without_meta_are_merged_too(make_either, respx_mock):
    """Some servers send none."""
    respx_mock.post().respond(json={"results": []})
    assert make_either(strict=False).rerank(**CALL, documents=TEN, max_documents_per_request=4).meta is None


def test_the_raw_response_is_the_first_shares(server, make_either):
    """Its data is the whole."""
    raw = make_either(max_documents_per_request=4).raw_rerank(**CALL, documents=TEN)
    assert ranking(raw.data) == order(TEN)
    assert raw.status_code == 200
    assert raw.response.json()["id"] == raw.data.id


# At the same time --------------------------------------------------------------------------------


def test_shares_go_out_together_but_not_all_at_once(server, make_either):
    """Concurrently, and never so many that one call crowds out the others."""
    adapter = make_either(max_documents_per_request=1)
    documents = [str(i) for i in range(40)]
    with ThreadPoolExecutor(1) as pool:
        with server.hold_replies():
            call = pool.submit(adapter.rerank, **CALL, documents=documents)
            server.wait_until(lambda s: s.n_in_flight == 8)
        assert ranking(call.result(10)) == order(documents)
    assert server.max_in_flight == 8
    assert len(server.requests) == 40


def test_a_call_leaves_no_threads_behind(server, make_client):
    """Its own are gone when it has its answer."""
    make_client(max_documents_per_request=2).rerank(**CALL, documents=TEN)
    for thread in threading.enumerate():
        if thread.name == "cohere_rerank":  # those of a call; a server of another test may still have its own
            thread.join(5)
            assert not thread.is_alive()


# Failures ----------------------------------------------------------------------------------------


def test_a_share_that_fails_fails_the_call(server, clock, make_either):
    """And the error says which documents it was about, by attribute and in its text."""

    def answer(request):
        if "document 7" in request.content.decode():
            return httpx.Response(422, json={"message": "odd document", "id": "r7"})
        return plain(request)

    client = client_with_handler(make_either, answer, clock=clock)
    with pytest.raises(errors.UnprocessableEntityError, match="odd document") as caught:
        client.rerank(**CALL, documents=TEN, max_documents_per_request=2)
    assert caught.value.part == "documents 6 to 7"
    assert "documents 6 to 7" in str(caught.value)
    assert caught.value.request_id == "r7"


def test_a_share_that_fails_after_repeats_says_which(clock, make_either):
    """The last of several failures has the place too."""

    def answer(request):
        if "document 7" in request.content.decode():
            return httpx.Response(503, json={"message": "busy"})
        return plain(request)

    client = client_with_handler(make_either, answer, clock=clock)
    with pytest.raises(errors.ServiceUnavailableError) as caught:
        client.rerank(**CALL, documents=TEN, max_documents_per_request=2)
    assert (caught.value.part, caught.value.attempts) == ("documents 6 to 7", 3)


def test_an_invalid_answer_to_a_share_fails_the_call(make_either, respx_mock):
    """The contract is checked share by share: an index past its end is not taken for another share's."""
    respx_mock.post().respond(json={"results": [{"index": 2, "relevance_score": 0.5}]})
    with pytest.raises(errors.InvalidResponseError, match="index 2") as caught:
        make_either().rerank(**CALL, documents=TEN, max_documents_per_request=2)
    assert caught.value.part is not None


def test_a_call_that_was_not_split_names_no_part(server, make_either):
    """There is nothing to say."""
    server.default = error(422, "no")
    with pytest.raises(errors.UnprocessableEntityError) as caught:
        make_either().rerank(**CALL, documents=TEN)
    assert caught.value.part is None


def test_shares_are_repeated_by_themselves(server, clock, make_either):
    """One that fails in passing is sent again; the others are not."""
    server.script(error(503, "later"))
    response = make_either(clock=clock).rerank(**CALL, documents=TEN, max_documents_per_request=5)
    assert ranking(response) == order(TEN)
    assert len(server.requests) == 3
    assert len(clock.sleeps) == 1


def test_one_failure_stops_the_rest(server, make_either):
    """It is raised at once, not when the slowest share is done, and what has not begun is not sent."""

    async def by_content(exchange):
        await (error(401, "no") if b"document 3" in exchange.request.body else hang())(exchange)

    server.default = by_content
    client = make_either(timeout=60)
    started = time.monotonic()
    with pytest.raises(errors.UnauthorizedError) as caught:
        client.rerank(**CALL, documents=[*TEN, *TEN], max_documents_per_request=1)
    assert time.monotonic() - started < 5
    assert caught.value.part == "document 3"
    assert len(server.requests) <= 9
    server.drop_connections()


def test_shares_under_way_are_not_repeated_once_another_has_failed(server, make_either):
    """They end with what they have begun: no thread goes on for minutes for an answer that nobody waits for."""

    async def by_content(exchange):
        await (error(401, "no") if b"document 3" in exchange.request.body else error(503, "later"))(exchange)

    server.default = by_content
    endless = RetryPolicy(max_retries=10**9, wait_initial_s=0, budget=10**9)
    adapter = make_either(retry_policy=endless, deadline=10**6)
    with pytest.raises(errors.UnauthorizedError):
        adapter.rerank(**CALL, documents=TEN, max_documents_per_request=1)
    for thread in threading.enumerate():
        if thread.name == "cohere_rerank":  # those of a call; a server of another test may still have its own
            thread.join(5)
            assert not thread.is_alive()


def test_the_deadline_bounds_the_whole_call(server, clock, make_either):
    """All shares have the one deadline, not one each after the other."""
    server.default = hang()
    client = make_either(max_documents_per_request=1, deadline=0.3)
    started = time.monotonic()
    with pytest.raises(errors.DeadlineExceededError):
        client.rerank(**CALL, documents=[str(i) for i in range(40)])
    assert time.monotonic() - started < 3
    server.drop_connections()


def test_an_empty_answer_to_every_share_is_an_answer(server, make_either):
    """A server that finds nothing relevant anywhere."""
    server.default = reply(json={"results": []})
    response = make_either(strict=False).rerank(**CALL, documents=TEN, max_documents_per_request=4)
    assert (response.results, response.scores) == ([], [None] * 10)


def test_a_failed_split_does_not_keep_the_process_alive(server):
    """One share is refused while the others hang: the error comes at once, and the program can end."""
    program = (
        "import sys, cohere_rerank as c\n"
        f"client = c.ClientV2('k', base_url={server.url!r}, max_documents_per_request=1, max_retries=0, deadline=60)\n"
        "try: client.rerank(model='m', query='q', documents=['a', 'b', 'c'])\n"
        "except c.BadRequestError: print('refused')\n"
    )
    server.default = hang()
    server.script(error(400, "no"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stdout == "refused\n", done.stderr
