"""The other settings of a client: what is taken, what is refused, and what its repr shows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.client.calls import KINDS, SECRET


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_key_is_positional(kind):
    """As in the official client."""
    kind("k")
    kind(api_key="k")
    with pytest.raises(TypeError):
        kind("k", "https://api.cohere.com")


@pytest.mark.parametrize("kind", KINDS)
def test_official_settings_without_an_effect_are_taken(kind):
    """Programs that pass them run on."""
    with ThreadPoolExecutor(1) as executor:
        kind("k", log_warning_experimental_features=False, thread_pool_executor=executor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timeout", [0, -1, True, "5", float("nan")]),
        ("connect_timeout", [0, "5"]),
        ("deadline", [0, -0.1, "300"]),
        ("max_retries", [-1, 1.5, True, "2"]),
        ("max_documents_per_request", [0, 10_001, 2.0]),
        ("max_connections", [0, -1, None.__class__]),
        ("max_response_bytes", [0, 1e6]),
        ("fallback", ["remote", 5]),
        ("client_name", [5, "two\nlines", "naïve"]),
        ("base_url", [7]),
    ],
)
def test_a_setting_out_of_range_is_refused(kind, name, values):
    """By the constructor and by with_options, naming the setting."""
    for value in values:
        with pytest.raises(errors.InvalidRequestError, match=name):
            kind("k", **{name: value})
        with pytest.raises(errors.InvalidRequestError, match=name):
            kind("k").with_options(**{name: value})


@pytest.mark.parametrize(
    ("kind", "other"), [(ClientV2, httpx.AsyncClient), (AsyncClientV2, httpx.Client), (ClientV2, dict)]
)
def test_the_wrong_kind_of_httpx_client_is_refused(kind, other):
    """An asynchronous client in a blocking one is a common slip: it is named when the client is made."""
    with pytest.raises(
        errors.InvalidRequestError, match=f"httpx_client must be an httpx.{'Async' * (kind is AsyncClientV2)}Client"
    ):
        kind("k", httpx_client=other())


def test_a_repr_shows_the_address_alone(make_either, server):
    """No key, in reprs of the client and of what it holds."""
    client = make_either(SECRET).client
    assert repr(client) == f"<{type(client).__name__} {server.url}>"
    assert SECRET not in repr(vars(client))


def test_an_asynchronous_fallback_is_refused():
    """It would run in a thread, where nobody awaits it."""

    async def scores(query, documents):
        return [0.5] * len(documents)

    with pytest.raises(errors.InvalidRequestError, match="async"):
        ClientV2("k", fallback=scores)
