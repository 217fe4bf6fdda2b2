"""Systems that can be evaluated: each form returns scores in the order of the documents."""

from __future__ import annotations

import asyncio

import pytest

import cohere_rerank
from cohere_rerank.errors import CohereRerankError, InvalidRequestError, ServiceUnavailableError
from cohere_rerank.evaluate.systems import NOT_RETURNED, as_function
from tests.fake_server import reply

QUERY, DOCUMENTS = "green tea", ["black coffee", "green tea", {"title": "tea"}]


def by_length(query, documents):
    return [min(1.0, len(text) / 100) for text in documents]


class Constant:
    name, version, pointwise = "constant", "1", True

    def score(self, query, documents):
        return [0.25] * len(documents)


def test_every_form_returns_one_score_per_document(make_client):
    """An address, a function, a scorer, a local client with or without a model, and a client of an API with a model."""
    local = cohere_rerank.ClientV2(base_url="local:")
    lexical = as_function("local:")(QUERY, DOCUMENTS)
    assert max(range(3), key=lexical.__getitem__) == 1
    assert as_function(local)(QUERY, DOCUMENTS) == lexical
    assert as_function((local, "any"))(QUERY, DOCUMENTS) == lexical
    assert as_function("local:lexical")(QUERY, DOCUMENTS) == lexical
    assert as_function(by_length)(QUERY, DOCUMENTS) == [0.12, 0.09, len("title: tea\n") / 100]
    assert as_function(Constant())(QUERY, DOCUMENTS) == [0.25] * 3
    assert len(as_function((make_client(), "rerank-v4.0-fast"))(QUERY, DOCUMENTS)) == 3


def test_a_client_sends_its_model_and_every_document(make_client, server):
    """The client sends one request with all documents and the model, without top_n."""
    as_function((make_client(), "rerank-v3.5"))(QUERY, DOCUMENTS)
    (request,) = server.requests
    assert request.json["model"] == "rerank-v3.5"
    assert len(request.json["documents"]) == 3
    assert "top_n" not in request.json


def test_a_document_that_is_not_returned_ranks_below_any_score(make_client, server):
    """A server may return only its best documents, and scores below 0."""
    server.script(reply(json={"results": [{"index": 1, "relevance_score": -3.5}]}))
    assert as_function((make_client(strict=False), "m"))(QUERY, DOCUMENTS) == [NOT_RETURNED, -3.5, NOT_RETURNED]
    assert NOT_RETURNED < -1e308


@pytest.mark.parametrize(
    ("system", "problem"),
    [
        (None, "cannot evaluate NoneType; pass (client, model)"),
        (3, "cannot evaluate int"),
        (object(), "cannot evaluate object"),
        (["local:"], "cannot evaluate list"),
        ((), "cannot evaluate tuple"),
        (("local:", "model"), "cannot evaluate tuple"),
        ((1, 2, 3), "cannot evaluate tuple"),
        ("rerank-v4.0-fast", "'rerank-v4.0-fast' is not a local: address; pass (client, model)"),
        ("https://api.cohere.com", "is not a local: address"),
        ("x" * 1000, "is not a local: address"),
        (type("Half", (), {"score": by_length})(), "the scorer Half has no name"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_anything_else_is_rejected(system, problem):
    """The message says what was passed and what is allowed."""
    with pytest.raises(InvalidRequestError) as caught:
        as_function(system)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 250


def test_an_async_client_is_rejected_with_advice():
    """With or without a model. The message says which client to pass."""
    client = cohere_rerank.AsyncClientV2(base_url="local:")
    for system in (client, (client, "model")):
        with pytest.raises(InvalidRequestError, match="AsyncClientV2 cannot be evaluated; pass a ClientV2"):
            as_function(system)
    asyncio.run(client.aclose())


@pytest.mark.parametrize("pair", [False, True])
def test_a_client_of_an_api_needs_a_model(make_client, pair):
    """There is no default model."""
    client = make_client()
    with pytest.raises(InvalidRequestError, match="pass \\(client, model\\)"):
        as_function((client, None) if pair else client)


def test_a_fallback_is_not_measured_as_the_model(make_client, server):
    """A fallback is another system, so its ranking is an error and not a value."""
    server.script(reply(503))
    client = make_client(fallback="local", max_retries=0)
    with pytest.raises(CohereRerankError, match="fallback"):
        as_function((client, "m"))(QUERY, DOCUMENTS)


def test_errors_of_the_api_are_not_changed(make_client, server):
    """The errors of a system keep their type and status."""
    server.script(reply(503))
    with pytest.raises(ServiceUnavailableError):
        as_function((make_client(max_retries=0), "m"))(QUERY, DOCUMENTS)
