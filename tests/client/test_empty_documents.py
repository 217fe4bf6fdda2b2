"""Documents without content are refused, or left out of the request without moving an index."""

from __future__ import annotations

import json

import pytest

from cohere_rerank import InvalidRequestError, ScoreCache
from tests.fake_server import error

ASKED = {"model": "rerank-v4.0-fast", "query": "green tea"}
DOCUMENTS = ["", "coffee", {"text": " "}, {"text": "green tea"}, "\n", "black tea"]
SENT = ["coffee", "text: green tea\n", "black tea"]
KEPT = {1, 3, 5}


def sent(server):
    return [json.loads(request.body)["documents"] for request in server.requests]


@pytest.mark.parametrize("options", [{}, {"max_documents_per_request": 2}, {"cache": ScoreCache()}])
def test_indices_refer_to_the_whole_list(server, make_either, options):
    """In one request, in several, and from a cache."""
    client = make_either(**options)
    for _ in range(2):
        response = client.rerank(**ASKED, documents=DOCUMENTS, on_empty="skip")
        assert {item.index for item in response.results} == KEPT
        assert all(item.document is DOCUMENTS[item.index] for item in response.results)
        assert [score is not None for score in response.scores] == [index in KEPT for index in range(6)]
    n_requests = 2 if "max_documents_per_request" in options else 1  # parts arrive in any order
    assert sorted(text for texts in sent(server)[:n_requests] for text in texts) == sorted(SENT)


def test_the_local_engine_and_the_fallback_keep_the_indices(server, make_either):
    """Every scorer sees only the documents with content."""
    local = make_either(base_url="local:").rerank(**ASKED, documents=DOCUMENTS, on_empty="skip")
    server.default = error(500, "no")
    fallback = make_either(fallback="local", max_retries=0).rerank(**ASKED, documents=DOCUMENTS, on_empty="skip")
    assert fallback.is_fallback
    for response in (local, fallback):
        assert response.results[0].index == 3
        assert {item.index for item in response.results} == KEPT


def test_a_list_of_empty_documents_ranks_to_nothing(server, make_either):
    """Nothing is sent for it."""
    response = make_either().rerank(**ASKED, documents=["", " "], on_empty="skip", top_n=2)
    assert response.results == []
    assert server.requests == []


def test_without_the_option_the_first_empty_document_is_named(server, make_either):
    """Before anything is sent, with what to do."""
    with pytest.raises(InvalidRequestError, match=r"document at index 2 is empty.*on_empty='skip'"):
        make_either().rerank(**ASKED, documents=["a", "b", " "])
    assert server.requests == []


def test_no_documents_allow_what_is_computed_from_their_number(server, make_either):
    """``top_n=min(5, len(documents))`` needs no special case."""
    response = make_either().rerank(**ASKED, documents=[], top_n=0, rank_fields=[])
    assert response.results == []
    with pytest.raises(InvalidRequestError, match="top_n"):
        make_either().rerank(**ASKED, documents=["a"], top_n=0)


def test_text_chooses_what_is_sent(server, make_either):
    """By name, by dotted path or by a function; results refer to the caller's own objects."""
    document = {"node": {"text": "green tea"}, "id": 7}
    client = make_either()
    for text in ("node.text", lambda item: item["node"]["text"]):
        response = client.rerank(**ASKED, documents=[document], text=text)
        assert response.results[0].document is document
    assert sent(server) == [["green tea"], ["green tea"]]
