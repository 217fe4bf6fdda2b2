"""Servers that accept only small requests: limits that the caller sets, and limits that a refusal states."""

from __future__ import annotations

import json
import warnings

import pytest

from cohere_rerank import ScoreCache, errors
from cohere_rerank._wire.json_body import json_size
from tests.fake_server import error, reply, respond, score

ASKED = {"model": "m", "query": "q"}
MANY = [f"document {i} é\n" * (1 + i % 7) for i in range(100)]


def best_first(documents):
    return sorted(range(len(documents)), key=lambda i: (-score("q", documents[i]), i))


def ranking(response):
    return [item.index for item in response.results]


def sent(server):
    return [json.loads(request.body)["documents"] for request in server.requests]


def refuse_if(is_too_large, refusal):
    """Answer as the API, but refuse some requests."""

    async def send(exchange):
        if is_too_large(exchange.request):
            await refusal(exchange.request)(exchange)
        else:
            status, payload = respond(exchange.request.body)
            await reply(status, json=payload)(exchange)

    return send


def n_documents(request):
    return len(json.loads(request.body)["documents"])


def tei_refusal(request):
    said = {"error": f"batch size {n_documents(request)} > maximum allowed batch size 32", "error_type": "Validation"}
    return reply(413, json=said)


REFUSALS = {
    "TEI": tei_refusal,
    "TEI, 422": lambda request: reply(422, json={"error": "batch size 100 > maximum allowed batch size 32"}),
    "number": lambda request: error(400, "invalid request: number of documents must be at most 32, got 100"),
    "words": lambda request: error(422, "a request may have up to 32 documents"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_limit_on_documents_is_learned(server, make_either, refusal):
    """The list is sent again in parts, the response is that of one request, and the next call knows the limit."""
    server.default = refuse_if(lambda request: n_documents(request) > 32, REFUSALS[refusal])
    client = make_either()
    first = client.rerank(**ASKED, documents=MANY)
    assert ranking(first) == best_first(MANY)
    assert [item.document for item in first.results] == [MANY[i] for i in best_first(MANY)]
    server.requests.clear()
    assert ranking(client.rerank(**ASKED, documents=MANY, top_n=5)) == best_first(MANY)[:5]
    assert len(server.requests) == 4
    assert max(map(len, sent(server))) <= 32


def test_a_limit_on_bytes_is_found_by_halving(server, make_either):
    """A 413 without a number halves the list until the parts fit."""
    long = [text * 200 for text in MANY]
    page = reply(413, text="<html>Request Entity Too Large</html>")
    server.default = refuse_if(lambda request: len(request.body) > 400_000, lambda request: page)
    client = make_either()
    assert ranking(client.rerank(**ASKED, documents=long)) == best_first(long)
    server.requests.clear()
    assert ranking(client.rerank(**ASKED, documents=long)) == best_first(long)
    assert all(len(request.body) <= 400_000 for request in server.requests)


def test_a_server_that_refuses_every_size_is_asked_only_a_few_times(server, make_either):
    """A 413 to a short body has another reason than its size."""
    server.default = error(413, "no")
    with pytest.raises(errors.PayloadTooLargeError):
        make_either().rerank(**ASKED, documents=MANY)
    assert len(server.requests) == 1
    with pytest.raises(errors.PayloadTooLargeError):
        make_either().rerank(**ASKED, documents=[text * 200 for text in MANY])
    assert len(server.requests) < 60


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_document_that_is_too_large_is_an_error(server, make_either, status):
    """Nothing smaller can be sent for it."""
    server.default = error(status, "batch size 1 > maximum allowed batch size 32")
    with pytest.raises(errors.ApiError):
        make_either().rerank(**ASKED, documents=["a"])
    assert len(server.requests) == 1


@pytest.mark.parametrize("message", ["maximum allowed batch size 0", "maximum allowed batch size 100", "at most 5"])
def test_other_refusals_are_not_about_size(server, make_either, message):
    """They are raised as they are, after one request."""
    server.default = error(422, message)
    with pytest.raises(errors.UnprocessableEntityError):
        make_either().rerank(**ASKED, documents=["a"] * 100)
    assert len(server.requests) == 1


def test_max_request_bytes_bounds_every_request(server, make_either):
    """Lists are split by bytes and by documents, whichever comes first."""
    client = make_either(max_request_bytes=1500, max_documents_per_request=20)
    response = client.rerank(**ASKED, documents=MANY)
    assert ranking(response) == best_first(MANY)
    assert all(len(request.body) <= 1500 for request in server.requests)
    assert max(map(len, sent(server))) <= 20
    assert len(server.requests) >= 5


def test_a_document_above_max_request_bytes_is_sent_alone(server, make_either):
    """The server decides about it."""
    documents = ["a", "b" * 5000, "c"]
    assert ranking(make_either(max_request_bytes=1000).rerank(**ASKED, documents=documents)) == best_first(documents)
    assert ["b" * 5000] in sent(server)


@pytest.mark.parametrize("text", ["", "a", 'a"b\\', "é\n", "😀\ud800", "\x00\x1f\u2028"])
def test_the_size_of_a_text_is_its_size_in_json(text):
    """Escapes and UTF-8 count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnicodeWarning)
        assert json_size(text) == len(json.dumps(text.replace("\ud800", "\ufffd"), ensure_ascii=False).encode())


def test_a_listwise_model_gets_the_whole_list(server, make_either):
    """With pointwise=False a list is neither split nor cached, and a warning says so once."""
    client = make_either(pointwise=False, max_documents_per_request=10, max_request_bytes=100, cache=ScoreCache())
    with pytest.warns(UserWarning, match="the list of 100 documents is sent in one request, because pointwise=False"):
        client.rerank(**ASKED, documents=MANY)
    client.rerank(**ASKED, documents=["a", "b"])
    client.rerank(**ASKED, documents=["a", "b"])
    assert sent(server) == [MANY, ["a", "b"], ["a", "b"]]


def test_a_refusal_of_a_listwise_request_is_an_error(server, make_either):
    """A part of the list would get other scores."""
    server.default = refuse_if(lambda request: True, tei_refusal)
    with pytest.raises(errors.PayloadTooLargeError):
        make_either(pointwise=False).rerank(**ASKED, documents=MANY)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("option", "value"), [("pointwise", "no"), ("max_request_bytes", 0)])
def test_wrong_settings_are_refused(make_either, option, value):
    """With the name of the argument."""
    with pytest.raises(errors.InvalidRequestError, match=option):
        make_either(**{option: value})
