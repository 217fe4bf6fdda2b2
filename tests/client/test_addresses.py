"""Where requests go: the argument, the environment, the default; and addresses that are refused."""

from __future__ import annotations

import pytest

from cohere_rerank import ClientEnvironment, errors
from tests.client.calls import BEST_FIRST, CALL, KINDS, ranking


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/v2/rerank", ""),
        ("/v2/rerank", "/"),
        ("/v2/rerank", "/v1"),
        ("/v2/rerank", "/v2/"),
        ("/v2/rerank", "/v2/rerank"),
        ("/co/v2/rerank", "/co"),
        ("/co/v2/rerank", "/co/v1/"),
        ("/v1/rerank", "/v1/rerank"),
        ("/v1/reranks", "/v1/reranks"),
        ("/reranking", "/reranking/"),
        ("/score", "/score"),
    ],
)
def test_base_url_may_be_a_base_a_version_or_the_endpoint(server, make_either, base, path):
    """However an address is written down somewhere, requests reach the endpoint that it means."""
    server.path = path
    assert ranking(make_either(base_url=server.url + base).rerank(**CALL)) == BEST_FIRST


@pytest.mark.parametrize("path", ["/", "/any/path/", "/v1", "/openai/deployments/x/do-it"])
@pytest.mark.parametrize("query", ["", "?api-version=2024-05-01&a=b%20c"])
@pytest.mark.parametrize("dialect", [None, "llamacpp"])
def test_rerank_url_is_used_exactly_as_it_is(server, make_either, path, query, dialect):
    """No version and no endpoint is added, a query stays, and parameters of a call are added to it."""
    server.path = path
    client = make_either(rerank_url=server.url + path + query, base_url="http://127.0.0.1:9", dialect=dialect)
    call = {**CALL, "request_options": {"additional_query_parameters": {"user": "me"}}}
    assert ranking(client.rerank(**CALL)) == ranking(client.rerank(**call)) == BEST_FIRST
    first, second = (request.path for request in server.requests)
    assert first == path + query
    assert second == path + (f"{query.replace('%20', '+')}&user=me" if query else "?user=me")
    assert "api-version" not in repr(client)


def test_a_new_base_url_replaces_rerank_url(server, make_client):
    """``with_options(base_url=...)`` means the new address."""
    client = make_client(rerank_url="http://127.0.0.1:9/x").with_options(base_url=server.url)
    assert ranking(client.rerank(**CALL)) == BEST_FIRST


@pytest.mark.parametrize(
    "url", ["host/x", "https://user:5ecret@host/x", "https://host/x?a=b c", "https://host/x#y", "local:", 5]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_rerank_url_that_is_not_valid_is_refused(kind, url):
    """At construction, under the name of the argument."""
    with pytest.raises(errors.InvalidRequestError, match="rerank_url") as caught:
        kind("k", rerank_url=url)
    assert "5ecret" not in str(caught.value)


def test_the_address_is_read_from_the_environment_at_construction(server, make_either, monkeypatch):
    """CO_API_URL counts when the client is made, not when the module is imported; later changes do nothing."""
    monkeypatch.setenv("CO_API_URL", server.url)
    client = make_either(base_url=None)
    monkeypatch.setenv("CO_API_URL", "http://127.0.0.1:9")
    assert ranking(client.rerank(**CALL)) == BEST_FIRST


def test_base_url_outranks_the_environment(server, make_either, monkeypatch):
    """Argument, CO_API_URL, environment=, in this order."""
    monkeypatch.setenv("CO_API_URL", "http://127.0.0.1:9")
    assert ranking(make_either(base_url=server.url, environment="http://127.0.0.1:9").rerank(**CALL)) == BEST_FIRST
    monkeypatch.delenv("CO_API_URL")
    assert ranking(make_either(base_url=None, environment=server.url).rerank(**CALL)) == BEST_FIRST


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("url", "question"),
    [
        ("local", "; did you mean 'local:'?"),
        ("Local:", "; did you mean 'local:'?"),
        ("localhost:8000/v2", "; did you mean 'http://localhost:8000/v2'?"),
        ("127.0.0.1:8000", "; did you mean 'http://127.0.0.1:8000'?"),
        ("api.cohere.com", "; did you mean 'https://api.cohere.com'?"),
        ("rank.example:8080/v2", "; did you mean 'https://rank.example:8080/v2'?"),
        ("bedrock", "; did you mean 'bedrock:' and the place of your models there?"),
        ("Bedrock:us-east-1", "; did you mean 'bedrock:us-east-1'?"),
        ("azure://my-resource", "; did you mean 'azure:my-resource'?"),
        ("a host", ""),
        ("localhost:5ecret@host", ""),
        ("Azure:https://user:5ecret@host", ""),
    ],
)
def test_a_wrong_address_of_the_environment_is_named_with_its_variable(kind, url, question, monkeypatch):
    """The message also asks about the usual mistakes, without a password."""
    monkeypatch.setenv("CO_API_URL", url)
    with pytest.raises(errors.InvalidRequestError) as caught:
        kind("k")
    message = str(caught.value)
    assert message.startswith("the environment variable CO_API_URL must look like https://host")
    assert message.endswith(f"{question}" or "'")
    assert ("did you mean" in message) == bool(question)
    assert "5ecret" not in message


@pytest.mark.parametrize("kind", KINDS)
def test_production_is_the_default(kind):
    """Without an address it is Cohere's; ClientEnvironment says the same."""
    assert "https://api.cohere.com" in repr(kind("k"))
    assert repr(kind("k", environment=ClientEnvironment.PRODUCTION)) == repr(kind("k"))


@pytest.mark.parametrize(
    "url",
    [
        "api.cohere.com",
        "ftp://api.cohere.com",
        "https://",
        "https:///v2",
        "https://host/v2?key=1",
        "https://host/#top",
        "https://user:5ecret@host",
        5,
        b"https://host",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_cannot_be_meant_is_refused(kind, url):
    """At construction, with what is allowed; a password in it is not shown."""
    with pytest.raises(errors.InvalidRequestError, match="base_url") as caught:
        kind("k", base_url=url)
    assert "5ecret" not in str(caught.value)
