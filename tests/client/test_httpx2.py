"""A client of httpx2 works as one of httpx does, also when something fails."""

from __future__ import annotations

import asyncio
import pickle

import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.client.calls import BEST_FIRST, CALL, ranking
from tests.fake_server import error, hang, hang_up, html, refusing_url, reset, truncated

httpx2 = pytest.importorskip("httpx2")


def ask(kind, server, httpx_options=None, **options):
    """One call through a client of httpx2; its raw response."""
    options = {"base_url": server.url, **options}
    if kind == "sync":
        with httpx2.Client(**httpx_options or {}) as theirs:
            client = ClientV2("a-key-of-ours", httpx_client=theirs, **options)
            return client.with_raw_response.rerank(**CALL)

    async def main():
        hooks = (httpx_options or {}).get("event_hooks", {})
        hooks = {name: [_awaited(hook) for hook in several] for name, several in hooks.items()}
        async with httpx2.AsyncClient(**{**(httpx_options or {}), "event_hooks": hooks}) as theirs:
            client = AsyncClientV2("a-key-of-ours", httpx_client=theirs, **options)
            return await client.with_raw_response.rerank(**CALL)

    return asyncio.run(main())


def _awaited(hook):
    async def awaited(response):
        hook(response)

    return awaited


@pytest.fixture(params=["sync", "async"])
def kind(request):
    return request.param


def test_a_call_is_answered(server, kind):
    """With its own response class for those who ask for the raw one."""
    raw = ask(kind, server)
    assert ranking(raw.data) == BEST_FIRST
    assert isinstance(raw.response, httpx2.Response)
    assert raw.response.json()["results"]


FAILURES = {
    "hang up": (hang_up, {}, "RemoteProtocolError", errors.ConnectionFailedError),
    "reset": (reset, {}, "ReadError", errors.ConnectionFailedError),
    "truncated": (truncated, {}, "RemoteProtocolError", errors.ConnectionFailedError),
    "no answer": (hang, {"timeout": 0.2}, "TimeoutException", errors.TimeoutExceededError),
    "deadline": (hang, {"deadline": 0.2}, None, errors.DeadlineExceededError),
    "status": (lambda: error(401, "no"), {}, None, errors.UnauthorizedError),
    "page": (lambda: html(200), {}, None, errors.InvalidResponseError),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_our_type_and_that_of_httpx2(server, kind, name):
    """``except httpx2.TransportError`` catches what it says, and so does the httpx class of that name."""
    server.default = FAILURES[name][0]()
    _, options, theirs, ours = FAILURES[name]
    with pytest.raises(ours) as caught:
        _ = ask(kind, server, max_retries=0, **options).data  # a refused reply is raised by its data
    if theirs is not None:
        assert isinstance(caught.value, getattr(httpx2, theirs))
        assert isinstance(caught.value, httpx2.TransportError)
        assert isinstance(caught.value, getattr(httpx, theirs))
    assert "a-key-of-ours" not in f"{caught.value!r}"
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), ours)


def test_a_refused_connection_is_retried_and_falls_back(kind, clock, server):
    """As with httpx."""
    with refusing_url() as url:
        with pytest.raises(errors.ConnectionFailedError) as caught:
            ask(kind, server, base_url=url, clock=clock)
        assert caught.value.attempts == 3
        assert isinstance(caught.value, httpx2.ConnectError)
        assert ask(kind, server, base_url=url, clock=clock, fallback="local").data.is_fallback


def test_a_hook_that_raises_for_the_status_is_no_obstacle(server, kind, clock):
    """The status decides about a retry."""
    server.script(error(503, "later"))
    hooks = {"event_hooks": {"response": [lambda response: response.raise_for_status()]}}
    assert ranking(ask(kind, server, hooks, clock=clock).data) == BEST_FIRST


def test_a_closed_client_is_a_typed_error(server):
    """The message names httpx_client."""
    theirs = httpx2.Client()
    theirs.close()
    with pytest.raises(errors.ClientClosedError, match="httpx_client"):
        ClientV2("a-key", base_url=server.url, httpx_client=theirs).rerank(**CALL)
