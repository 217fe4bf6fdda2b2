"""Where the key comes from, how a function gives it, and which keys are refused."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from cohere_rerank import AsyncClientV2, errors
from tests.client.calls import CALL, KINDS, SECRET
from tests.fake_server import error

BOTH = {"CO_API_KEY": "first", "COHERE_API_KEY": "second"}


@pytest.mark.parametrize(
    ("argument", "environment", "sent"),
    [
        ("argument", BOTH, "Bearer argument"),
        (None, BOTH, "Bearer first"),
        (None, {"COHERE_API_KEY": "second"}, "Bearer second"),
        (None, {"CO_API_KEY": "", "COHERE_API_KEY": "second"}, "Bearer second"),
        ("", BOTH, None),
        (lambda: "made", BOTH, "Bearer made"),
        (lambda: "", BOTH, None),
    ],
)
def test_the_key_comes_from_the_argument_then_the_environment(
    server, make_either, monkeypatch, argument, environment, sent
):
    """The official order: argument, CO_API_KEY, COHERE_API_KEY; an empty key sends no Authorization."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    make_either(argument).rerank(**CALL)
    assert server.requests[0].header("authorization") == sent


def test_a_key_function_is_asked_before_every_request(server, clock, make_either):
    """Keys that are renewed reach repeats too."""
    keys = iter(["one", "two", "three"])
    client = make_either(lambda: next(keys), clock=clock)
    server.script(error(503, "later"))
    client.rerank(**CALL)
    client.rerank(**CALL)
    assert [r.header("authorization") for r in server.requests] == ["Bearer one", "Bearer two", "Bearer three"]


def test_an_async_key_function_is_awaited(server, make_async_client):
    """AsyncClientV2 takes keys that have to be fetched."""

    async def fetch() -> str:
        await asyncio.sleep(0)
        return "fetched"

    async def main():
        async with make_async_client(fetch) as client:
            await client.rerank(**CALL)

    asyncio.run(main())
    assert server.requests[0].header("authorization") == "Bearer fetched"


def test_an_async_key_function_is_refused_by_the_blocking_client(server, make_client):
    """The error names the client that can use it, and no coroutine is left behind (warnings are errors)."""

    async def fetch() -> str:
        return "fetched"

    with pytest.raises(errors.InvalidRequestError, match="AsyncClientV2"):
        make_client(fetch).rerank(**CALL)
    assert server.requests == []


def test_what_a_key_function_raises_comes_through(server, make_either):
    """The caller's own error is not wrapped, not repeated, and nothing is sent."""

    class VaultSealedError(Exception):
        pass

    def fetch():
        raise VaultSealedError

    with pytest.raises(VaultSealedError):
        make_either(fetch).rerank(**CALL)
    assert server.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_anywhere_is_an_error_at_once(kind):
    """As in the official client it is an ApiError raised by the constructor; it says what to set."""
    with pytest.raises(errors.ApiError, match="CO_API_KEY") as caught:
        kind()
    assert isinstance(caught.value, errors.MissingApiKeyError)
    assert caught.value.status_code is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [f"{SECRET}\n", f" {SECRET}\r\n", f"{SECRET}é", f"{SECRET}\0"])
def test_a_key_that_no_header_can_hold_is_refused(kind, key, monkeypatch):
    """A line break from a file is the usual case: it is named, and the key is not shown."""
    with pytest.raises(errors.InvalidRequestError, match="api_key") as caught:
        kind(key)
    assert "5ecret" not in str(caught.value)
    monkeypatch.setenv("CO_API_KEY", key.replace("\0", "\n"))
    with pytest.raises(errors.InvalidRequestError, match="CO_API_KEY"):
        kind()


@pytest.mark.parametrize("key", [f"{SECRET}\n", None, 5, b"bytes"])
def test_a_key_function_that_gives_no_key_is_refused(server, make_either, key):
    """The same rule for keys that a function gives; nothing is sent."""
    with pytest.raises(errors.InvalidRequestError, match="api_key") as caught:
        make_either(lambda: key).rerank(**CALL)
    assert "5ecret" not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []


def test_the_deadline_bounds_an_asynchronous_key_too(server):
    """Fetching a key is part of the call."""

    async def key():
        await asyncio.sleep(60)
        return "k"

    async def scenario():
        async with AsyncClientV2(key, base_url=server.url, deadline=0.05) as client:
            with pytest.raises(errors.DeadlineExceededError):
                await client.rerank(**CALL)

    asyncio.run(scenario())
    assert server.requests == []


def test_a_failure_before_sending_counts_no_attempt(server, make_either):
    """``attempts`` is the number of requests sent."""

    def key():
        return 3

    with pytest.raises(errors.InvalidRequestError) as caught:
        make_either(key).rerank(**CALL)
    assert caught.value.attempts == 0
