"""What a call gives back: documents, spans, scores, and the raw response."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import httpx
import pytest

from cohere_rerank import errors
from tests.adapters import resolve
from tests.client.calls import BEST_FIRST, CALL, ranking
from tests.fake_server import error, hang_up, html, reply, score


def test_a_raw_response_has_the_transports_side(server, make_either):
    """Data, headers (names in lower case), status and the httpx response, content included."""
    server.script(
        reply(json={"results": [{"index": 1, "relevance_score": 0.5}]}, headers={"X-Trace": "7"}, encoding="gzip")
    )
    raw = make_either(strict=False).raw_rerank(**CALL)
    assert ranking(raw.data) == [1]
    assert raw.data.results[0].document == CALL["documents"][1]
    assert (raw.status_code, raw.headers["x-trace"]) == (200, "7")
    assert isinstance(raw.response, httpx.Response)
    assert raw.response.json()["results"][0]["relevance_score"] == 0.5
    assert raw.response.headers["x-trace"] == "7"


def test_v2_is_the_client(make_either, server):
    """``client.v2.rerank`` and ``client.v2.with_raw_response.rerank`` are what they are without v2."""
    adapter = make_either()
    assert ranking(resolve(adapter, adapter.client.v2.rerank(**CALL))) == BEST_FIRST
    assert resolve(adapter, adapter.client.v2.with_raw_response.rerank(**CALL)).status_code == 200


def test_raw_errors_are_the_same_errors(server, make_either):
    """with_raw_response raises what rerank raises for an error status, and for a reply that it cannot read."""
    server.script(error(401, "invalid api token"), reply(body=b"x", headers={"content-encoding": "gzip"}))
    with pytest.raises(errors.UnauthorizedError, match="invalid api token"):
        make_either().raw_rerank(**CALL)
    with pytest.raises(errors.InvalidResponseError, match="compressed") as caught:
        make_either().raw_rerank(**CALL)
    assert caught.value.status_code == 200


REFUSED = {
    "an error inside": reply(json={"error": {"message": "model bge-x is not deployed"}}),
    "too few results": reply(json={"results": []}),
    "no finite score": reply(text='{"results": [{"index": 0, "relevance_score": NaN}]}'),
    "a page": html(200),
    "nothing": reply(200),
    "201": reply(201, json={"job": 1}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_reply_is_returned_as_a_raw_response(server, make_either, name):
    """The reply is there, and ``data`` raises what rerank raises."""
    server.default = REFUSED[name]
    raw = make_either().raw_rerank(**CALL)
    assert raw.status_code == raw.error.status_code == (201 if name == "201" else 200)
    assert raw.headers["content-type"] == raw.error.headers["content-type"]
    with pytest.raises(errors.InvalidResponseError) as raised:
        make_either().rerank(**CALL)
    with pytest.raises(errors.InvalidResponseError) as caught:
        _ = raw.data
    assert caught.value is raw.error
    assert str(raw.error) == str(raised.value)
    assert repr(raw.error.body) == repr(raised.value.body)
    assert repr(raw).startswith(f"RawResponse(status_code={raw.status_code}, error=InvalidResponseError(")
    if name == "an error inside":
        assert raw.response.json() == raw.error.body == {"error": {"message": "model bge-x is not deployed"}}


def test_the_refused_part_of_a_split_list_is_returned(server, make_either):
    """The message names its documents."""
    server.default = reply(json={"results": []})
    raw = make_either().raw_rerank(**CALL, max_documents_per_request=2)
    assert "document" in str(raw.error)
    assert raw.response.json() == {"results": []}


def test_the_fallback_answers_in_place_of_a_refused_reply(server, make_either):
    """A broken reply counts as an outage."""
    server.default = html(200)
    raw = make_either(fallback="keep-order").raw_rerank(**CALL)
    assert (raw.response, raw.error, raw.data.is_fallback) == (None, None, True)


def test_a_raw_response_does_not_show_the_key(server, make_either):
    """Where the server quotes it: in a refused reply, and in the headers of any."""
    results = [{"index": 0, "relevance_score": 0.5}]
    for body in ({"error": "bad key a-long-key"}, {"results": results, "note": "a-long-key"}):
        server.script(reply(json=body, headers={"x-seen": "a-long-key"}))
        raw = make_either("a-long-key").raw_rerank(**{**CALL, "documents": ["a"]})
        assert raw.response.headers["x-seen"] == "[your key]"
        assert ("a-long-key" in raw.response.text) == (raw.error is None)


def test_a_refused_reply_is_not_part_of_a_pickle(server, make_either):
    """It may be large and may echo the documents."""
    server.default = reply(json={"results": [], "echo": CALL["documents"]})
    copied = pickle.loads(pickle.dumps(make_either().raw_rerank(**CALL).error))
    assert "penguin" not in repr(vars(copied))
    assert copied.status_code == 200


@dataclass
class Ticket:
    title: str


def test_results_give_back_the_callers_own_documents(server, make_either):
    """The very object that was ranked, whatever its kind, and not in any dump."""
    documents = [Ticket("a"), {"title": "b"}, "c"]
    response = make_either().rerank(**{**CALL, "documents": documents})
    assert sorted(ranking(response)) == [0, 1, 2]
    assert all(item.document is documents[item.index] for item in response.results)
    assert server.requests[0].json["documents"] == ["title: a\n", "title: b\n", "c"]
    assert "title" not in str(response.model_dump())


def test_span_texts_are_cut_from_what_was_sent(server, make_either):
    """Spans count code points; of a structured document they are stretches of its YAML."""
    documents = ["🦜 bird", {"text": "no bird"}, "train"]
    call = {**CALL, "query": "bird", "documents": documents, "relevant_spans": {"mode": "enabled", "threshold": 0}}
    response = make_either().rerank(**call)
    assert {item.index: item.span_texts for item in response.results} == {0: ["bird"], 1: ["bird"], 2: []}


def test_scores_are_in_the_order_of_the_documents(server, make_either):
    """One for each document; None for those that top_n left out."""
    whole = make_either().rerank(**CALL)
    assert whole.scores == [score(CALL["query"], text) for text in CALL["documents"]]
    best = make_either().rerank(**CALL, top_n=1)
    assert [value is not None for value in best.scores] == [index == BEST_FIRST[0] for index in range(3)]


def test_min_score_leaves_out_the_rest(server, make_either):
    """It keeps scores at the limit, counts after top_n, and is not sent."""
    results = [{"index": index, "relevance_score": value} for index, value in [(2, 0.9), (0, 0.5), (1, 0.1)]]
    server.default = reply(json={"results": results})
    client = make_either()
    assert ranking(client.rerank(**CALL, min_score=0.5)) == [2, 0]
    assert ranking(client.rerank(**CALL, min_score=0.91)) == []
    assert ranking(client.rerank(**CALL, min_score=0)) == [2, 0, 1]


class OneTime:
    """An iterable that may be read once."""

    def __init__(self, items):
        self.items = items
        self.n_reads = 0

    def __iter__(self):
        self.n_reads += 1
        yield from self.items


@pytest.mark.parametrize("limit", [None, 2])
def test_an_iterator_is_read_once(server, clock, make_either, limit):
    """Through repeats and splits, every request sends its whole share, and results know their documents."""
    documents = OneTime([{"text": text} for text in "abc"])
    server.script(error(503, "later"), hang_up())
    call = {**CALL, "documents": documents, "max_documents_per_request": limit}
    response = make_either(clock=clock).rerank(**call)
    assert documents.n_reads == 1
    assert sorted(item.document["text"] for item in response.results) == ["a", "b", "c"]
    shares = [["text: a\n", "text: b\n", "text: c\n"]] if limit is None else [["text: a\n"], ["text: b\n", "text: c\n"]]
    assert all(request.json["documents"] in shares for request in server.requests)
    assert len(server.requests) == len(shares) + 2


@pytest.mark.parametrize("documents", [[], (), iter([]), {}.values()], ids=["list", "tuple", "iterator", "view"])
def test_no_documents_rank_to_nothing_without_a_call(server, make_either, documents):
    """A search without hits needs no special case in the caller's code."""
    client = make_either()
    response = client.rerank(**{**CALL, "documents": documents, "top_n": 3, "min_score": 0.5})
    assert (response.results, response.scores, response.is_fallback) == ([], [], False)
    raw = client.raw_rerank(**{**CALL, "documents": []})
    assert (raw.data.results, raw.status_code, raw.headers, raw.response) == ([], None, {}, None)
    assert server.n_connections == 0


def test_bad_arguments_are_found_with_no_documents_too(make_either):
    """An empty list hides no mistake that the next list would show."""
    with pytest.raises(errors.InvalidRequestError, match="top_n"):
        make_either().rerank(**{**CALL, "documents": [], "top_n": -1})
