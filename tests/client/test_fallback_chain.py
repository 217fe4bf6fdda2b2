"""Several fallbacks in a row: other clients, the local engine, and the order as it was."""

from __future__ import annotations

import time

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, RetryPolicy, ScoreCache, errors
from tests.adapters import is_async, resolve
from tests.fake_server import Server, error, hang, html, reply

ASKED = {"model": "m", "query": "green tea", "documents": ["coffee", {"text": "green tea"}, "black tea"]}
ONCE = {"max_retries": 0}
PROMPT_S = 5.0


@pytest.fixture
def backup():
    """A second server."""
    with Server() as server:
        yield server


@pytest.fixture
def make_chain(make_either, backup):
    """Make a client whose chain begins with a client of the second server, of the same kind."""
    made = []

    def make(*rest, backup_options=ONCE, **options):
        kind = AsyncClientV2 if is_async(make_either(base_url="local:")) else ClientV2
        second = kind("other-key", base_url=backup.url, **backup_options)
        first = make_either(fallback=[second, *rest], **{**ONCE, **options})
        made.append((first, second))
        return first

    yield make
    for first, second in made:
        resolve(first, second.aclose() if is_async(first) else second.close())


def test_the_next_client_answers_an_outage(server, backup, make_chain):
    """With its own key and address, without the headers of the call; the results refer to the caller's documents."""
    server.default = error(503, "down")
    options = {"additional_headers": {"x-secret": "of the first server"}}
    response = make_chain("local").rerank(**ASKED, top_n=2, request_options=options)
    assert response.is_fallback
    assert response.answered_by == backup.url.removeprefix("http://")
    assert len(response.results) == 2
    assert all(item.document is ASKED["documents"][item.index] for item in response.results)
    assert "503" in response.meta.warnings[0]
    [request] = backup.requests
    assert request.header("authorization") == "Bearer other-key"
    assert request.header("x-secret") is None
    assert request.json["top_n"] == 2


def test_the_chain_goes_on_after_a_client_that_fails(server, backup, make_chain):
    """In the order in which it was given."""
    server.default = error(503, "down")
    backup.default = error(500, "down too")
    response = make_chain("local", "keep-order").rerank(**ASKED)
    assert response.answered_by == "local-lexical"
    assert response.results[0].index == 1


def test_without_an_outage_nothing_else_is_asked(server, backup, make_chain):
    """And the response names the server itself."""
    response = make_chain("local").rerank(**ASKED)
    assert (response.is_fallback, response.answered_by) == (False, server.url.removeprefix("http://"))
    assert backup.requests == []


def test_a_mistake_of_the_caller_is_no_outage(server, backup, make_chain):
    """Another server would refuse it too."""
    server.default = error(422, "unknown field")
    with pytest.raises(errors.UnprocessableEntityError):
        make_chain("local").rerank(**ASKED)
    assert backup.requests == []


BROKEN = {
    "HTML with 200": lambda: html(200),
    "garbage": lambda: reply(200, text="\x00\x01"),
    "no results": lambda: reply(200, json={"id": "1"}),
    "424": lambda: error(424, "the model failed"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_answer_counts_as_an_outage(server, make_either, fault):
    """A server that cannot give a ranking is as good as none."""
    server.default = BROKEN[fault]()
    response = make_either(fallback="local", **ONCE).rerank(**ASKED)
    assert response.answered_by == "local-lexical"


def test_keep_order_invents_no_scores(server, make_either):
    """The documents in their order, each with None; cut to top_n, and not judged by min_score."""
    server.default = error(503, "down")
    client = make_either(fallback="keep-order", **ONCE)
    response = client.rerank(**ASKED, top_n=2, min_score=0.9)
    assert [(item.index, item.relevance_score) for item in response.results] == [(0, None), (1, None)]
    assert response.answered_by == "keep-order"
    assert response.scores == [None, None, None]
    assert "no score" in repr(response)
    assert "tea" in response._repr_html_()
    assert response.model_dump()["results"][0]["relevance_score"] is None


def test_skipped_documents_keep_their_indices_in_every_fallback(server, make_chain, backup):
    """The indices refer to the caller's list, whoever answers."""
    server.default = error(503, "down")
    documents = ["", *ASKED["documents"]]
    for client in (make_chain(), make_chain("local"), make_chain("keep-order")):
        response = client.rerank(**{**ASKED, "documents": documents}, on_empty="skip")
        assert {item.index for item in response.results} == {1, 2, 3}
        backup.default = error(503, "down too")


def test_one_deadline_covers_the_chain(server, backup, make_chain):
    """Each client gets an equal share of the time, so a server that hangs leaves some to the next one."""
    server.default = hang()
    started = time.monotonic()
    response = make_chain("keep-order").rerank(**ASKED, deadline=1.0)
    assert response.answered_by == backup.url.removeprefix("http://")
    backup.default = hang()
    response = make_chain("keep-order").rerank(**ASKED, deadline=1.0)
    assert response.answered_by == "keep-order"
    assert time.monotonic() - started < PROMPT_S


def test_the_first_error_is_raised_when_all_fail(server, backup, make_chain):
    """It is of the API's class, and its text has all failures."""
    server.default = error(429, "slow down")
    backup.default = error(500, "down too")

    def broken(query, documents):
        raise ValueError("no model")

    with pytest.raises(errors.TooManyRequestsError, match=r"slow down.*every fallback failed: .*500.*no model"):
        make_chain(broken, retry_policy=RetryPolicy(max_retries=0)).rerank(**ASKED)


def test_a_cached_call_falls_back_as_a_whole(server, backup, make_chain):
    """The scores of a fallback are never mixed with cached ones, and never cached."""
    client = make_chain(cache=ScoreCache())
    client.rerank(**{**ASKED, "documents": ["coffee"]})
    server.default = error(503, "down")
    response = client.rerank(**ASKED)
    assert response.is_fallback
    assert len(response.results) == 3
    assert backup.requests[-1].json["documents"] == ["coffee", "text: green tea\n", "black tea"]
    n_sent = len(backup.requests)
    client.rerank(**ASKED)
    assert len(backup.requests) > n_sent


@pytest.mark.parametrize("fallback", ["remote", [], ["local", "remote"], 5, [None], {"local": 1}])
@pytest.mark.parametrize("kind", [ClientV2, AsyncClientV2])
def test_a_fallback_that_is_not_valid_is_refused(kind, fallback):
    """With the value and what is allowed."""
    with pytest.raises(errors.InvalidRequestError, match="fallback"):
        kind("k", fallback=fallback)


def test_a_client_of_the_other_kind_is_refused():
    """A blocking client would block the event loop, and an asynchronous one cannot be awaited."""
    with pytest.raises(errors.InvalidRequestError, match=r"fallback.*AsyncClientV2.*ClientV2"):
        AsyncClientV2("k", fallback=[ClientV2("k")])
    with pytest.raises(errors.InvalidRequestError, match=r"fallback.*ClientV2.*AsyncClientV2"):
        ClientV2("k").with_options(fallback=[AsyncClientV2("k")])
