"""An httpx client that the caller brings, and proxies that the environment names."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import cohere_rerank
from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.adapters import client_with_handler, is_async, resolve
from tests.fake_server import Server, drip, error, refusing_url, reply, respond, score
from tests.proxy import Proxy

CALL: dict[str, Any] = {"model": "rerank-v3.5", "query": "birds", "documents": ["a penguin", "a swallow", "a train"]}
BEST_FIRST = sorted(range(3), key=lambda index: -score(CALL["query"], CALL["documents"][index]))


def ranking(response):
    return [item.index for item in response.results]


@pytest.fixture
def bring(make_either):
    """``bring(httpx_options, **options)``: an adapter whose client uses an httpx client with these options."""

    def make(httpx_options=None, **options):
        kind = httpx.AsyncClient if is_async(make_either(base_url="local:")) else httpx.Client
        return make_either(httpx_client=kind(**httpx_options or {}), **options)

    return make


# Used as it is -----------------------------------------------------------------------------------


def test_it_is_used(server, bring):
    """Requests go through it, with its defaults where we have none of our own."""
    options = {
        "headers": {"X-Team": "search", "Content-Type": "text/plain", "Authorization": "Basic x"},
        "params": {"tenant": "7"},
        "cookies": {"session": "abc"},
        "base_url": "http://127.0.0.1:9",
    }
    client = bring(options)
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    request = server.requests[0]
    assert request.path == "/v2/rerank?tenant=7"
    assert request.header("x-team") == "search"
    assert request.header("cookie") == "session=abc"
    assert request.header("content-type") == "application/json"
    assert request.header("authorization") == "Bearer test-key"


def test_its_own_authorization_serves_where_the_key_is_empty(server, bring):
    """An empty key leaves room for another scheme: a default header, or httpx's auth."""
    bring({"headers": {"Authorization": "Token t"}}, api_key="").rerank(**CALL)
    bring({"auth": ("user", "word")}, api_key="").rerank(**CALL)
    assert [r.header("authorization") for r in server.requests] == ["Token t", "Basic dXNlcjp3b3Jk"]


def test_its_timeout_counts(server, clock, bring):
    """Where neither client nor call has one."""

    async def late(exchange):
        await exchange.until_disconnect()

    server.default = late
    with pytest.raises(httpx.ReadTimeout):
        # Only reading is short: on a busy machine, connecting can take longer.
        bring({"timeout": httpx.Timeout(20, read=0.05)}, clock=clock, max_retries=0).rerank(**CALL)


def test_its_redirects_stay_off(server, bring):
    """A client that follows redirects would send the key to another origin; the rule is ours."""
    with Server() as other:
        server.default = reply(307, headers={"location": f"{other.url}/v2/rerank"})
        with pytest.raises(errors.RedirectError):
            bring({"follow_redirects": True}).rerank(**CALL)
        assert other.n_connections == 0


def test_it_is_closed_with_the_client(make_either, bring):
    """As the official client does."""
    adapter = bring()
    own = adapter.client._httpx_client
    resolve(adapter, adapter.client.close())
    assert own.is_closed


def test_its_end_is_a_typed_error(bring):
    """Closed by its owner, it is named; the error is a RuntimeError, as httpx's."""
    adapter = bring()
    own = adapter.client._httpx_client
    resolve(adapter, own.aclose() if is_async(adapter) else own.close())
    with pytest.raises(errors.ClientClosedError, match="httpx_client"):
        adapter.rerank(**CALL)


def test_a_local_address_outranks_it(make_either, monkeypatch):
    """CO_API_URL=local: takes any program off the network, also one that brings an httpx client."""
    monkeypatch.setenv("CO_API_URL", "local:")

    def refuse(request):
        raise AssertionError("a request was sent")

    client = client_with_handler(make_either, refuse, base_url=None)
    assert client.rerank(**CALL).results


def test_a_blocking_deadline_ends_a_dripped_body(server, make_client):
    """Its connections know no deadline, so it is looked at between the pieces of a reply."""
    server.default = drip("body")
    client = make_client(httpx_client=httpx.Client(), deadline=0.1)
    with pytest.raises(errors.DeadlineExceededError):
        client.rerank(**CALL)


# Event hooks -------------------------------------------------------------------------------------


def hooks(client_is_async, on_request=None, on_response=None):
    def wrap(function):
        async def hook(message):
            result = function(message)
            if hasattr(result, "__await__"):
                await result

        return hook if client_is_async else function

    events = {"request": on_request, "response": on_response}
    return {name: [wrap(function)] for name, function in events.items() if function is not None}


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("reads", [False, True])
def test_event_hooks_run(server, make_either, encoding, reads):
    """Hooks see request and response, may change headers, and may read the body before us."""
    seen = []
    client_is_async = is_async(make_either(base_url="local:"))

    def on_request(request):
        request.headers["x-hook"] = "yes"

    def on_response(response):
        seen.append(response.status_code)
        if reads:
            return response.aread() if client_is_async else response.read()
        return None

    kind = httpx.AsyncClient if client_is_async else httpx.Client
    client = make_either(httpx_client=kind(event_hooks=hooks(client_is_async, on_request, on_response)))
    results = [{"index": index, "relevance_score": index / 4} for index in (2, 1, 0)]
    server.default = reply(json={"results": results}, encoding=encoding)
    raw = client.raw_rerank(**CALL)
    assert ranking(raw.data) == [2, 1, 0]
    assert raw.response.json()["results"]
    assert seen == [200]
    assert server.requests[0].header("x-hook") == "yes"


@pytest.mark.parametrize("reads", [False, True])
def test_a_hook_that_raises_for_status_changes_nothing(server, clock, make_either, reads):
    """httpx's own example of a hook. The error is ours for the status, and a 503 is retried."""
    client_is_async = is_async(make_either(base_url="local:"))

    async def read_and_raise(response):
        await response.aread()
        response.raise_for_status()

    def on_response(response):
        if reads and client_is_async:
            return read_and_raise(response)
        if reads:
            response.read()
        return response.raise_for_status() and None

    kind = httpx.AsyncClient if client_is_async else httpx.Client
    client = make_either(httpx_client=kind(event_hooks=hooks(client_is_async, None, on_response)), clock=clock)
    server.script(error(503, "later"), error(429, "slow down", headers={"retry-after": "7"}))
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert clock.sleeps[1] == 7
    server.default = error(401, "invalid api token")
    with pytest.raises(errors.UnauthorizedError) as caught:
        client.rerank(**CALL)
    assert caught.value.attempts == 1
    if reads:
        assert caught.value.body["message"] == "invalid api token"


def test_what_a_hook_raises_comes_through(server, make_either):
    """An error of the caller's hook is raised unchanged and not retried."""

    class OverBudgetError(Exception):
        pass

    client_is_async = is_async(make_either(base_url="local:"))

    def on_request(request):
        raise OverBudgetError

    kind = httpx.AsyncClient if client_is_async else httpx.Client
    client = make_either(httpx_client=kind(event_hooks=hooks(client_is_async, on_request)))
    with pytest.raises(OverBudgetError):
        client.rerank(**CALL)
    assert server.requests == []


# HTTP/2 ------------------------------------------------------------------------------------------


@contextmanager
def http2_server():
    """The API over HTTP/2 without TLS, served by hypercorn."""
    asyncio_serve = pytest.importorskip("hypercorn.asyncio").serve
    config = pytest.importorskip("hypercorn.config").Config()
    config.bind, config.errorlog, config.accesslog = ["127.0.0.1:0"], None, None
    versions = []

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        versions.append(scope["http_version"])
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        status, answer = respond(body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": httpx.Response(200, json=answer).content})

    loop = asyncio.new_event_loop()
    stop, address = asyncio.Event(), []
    sockets = config.create_sockets()
    address.append(sockets.insecure_sockets[0].getsockname()[1])
    config.create_sockets = lambda: sockets

    async def main():
        await asyncio_serve(app, config, shutdown_trigger=stop.wait)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{address[0]}", versions
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def test_http2_is_an_httpx_client_away(bring, clock):
    """``httpx.Client(http2=True)`` uses HTTP/2, also for errors."""
    pytest.importorskip("h2")
    with http2_server() as (url, versions):
        client = bring({"http1": False, "http2": True}, base_url=url, clock=clock)
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
        with pytest.raises(errors.UnprocessableEntityError):
            client.rerank(**CALL, request_options={"additional_body_parameters": {"top_k": 1}})
        resolve(client, client.client.close())
    assert versions == ["2", "2"]


# Proxies -----------------------------------------------------------------------------------------


@pytest.fixture
def proxy():
    with Proxy() as running:
        yield running


def test_a_proxy_of_the_callers_client_is_used(server, proxy, bring):
    """``httpx.Client(proxy=...)``."""
    assert ranking(bring({"proxy": proxy.url}).rerank(**CALL)) == BEST_FIRST
    assert proxy.targets == [f"POST {server.url}/v2/rerank"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_used(server, proxy, make_either, monkeypatch, name):
    """The names that other tools obey; connections are kept."""
    monkeypatch.setenv(name, proxy.url)
    client = make_either()
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert proxy.targets == [f"POST {server.url}/v2/rerank"]
    assert server.n_connections == 1


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "example.com,127.0.0.1"])
def test_no_proxy_is_obeyed(server, proxy, make_either, monkeypatch, no_proxy):
    """Requests to these hosts are sent directly."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert ranking(make_either().rerank(**CALL)) == BEST_FIRST
    assert proxy.targets == []


def test_https_goes_through_a_tunnel(proxy, make_either, monkeypatch, tmp_path):
    """CONNECT, then TLS with the server itself: the proxy sees neither key nor documents."""
    with Server(tls="trusted") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.write_authority(tmp_path / "ca.pem")))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = make_either(base_url=server.url)
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
        assert proxy.targets == [f"CONNECT 127.0.0.1:{server.port}"]
        assert b"test-key" not in proxy.headers[0]
        resolve(client, client.client.close())


def test_a_proxy_that_refuses_is_a_connection_error(clock, make_either, monkeypatch):
    """The error is ours and httpx's proxy error. It is retried, because proxies recover."""
    with Proxy(status=502) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(errors.ConnectionFailedError) as caught:
            make_either(base_url="https://127.0.0.1:9", clock=clock).rerank(**CALL)
    assert isinstance(caught.value, httpx.ProxyError)
    assert caught.value.attempts == len(proxy.targets) == 3


def test_a_failure_on_the_way_to_a_proxy_says_so(clock, make_either, monkeypatch):
    """Users forget that the environment sets a proxy."""
    with refusing_url() as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        with pytest.raises(errors.ConnectionFailedError, match="proxy from the environment") as caught:
            make_either(base_url="http://127.0.0.1:9", clock=clock).rerank(**CALL)
    assert isinstance(caught.value, httpx.ConnectError)


def test_a_proxy_that_cannot_be_meant_is_refused(server, make_either, monkeypatch):
    """A scheme that no proxy has."""
    monkeypatch.setenv("HTTP_PROXY", "ftp://127.0.0.1:9")
    with pytest.raises(errors.InvalidRequestError, match=r"proxy.*ftp"):
        make_either().rerank(**CALL)


@pytest.mark.parametrize("value", ["missing.pem", "."])
def test_certificates_that_cannot_be_read_are_named(clock, make_either, monkeypatch, tmp_path, value):
    """SSL_CERT_FILE with a typing mistake: a typed error that names it, at once."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / value))
    with pytest.raises(errors.CertificateError, match=r"SSL_CERT_FILE=.*") as caught:
        make_either(base_url="https://127.0.0.1:9", clock=clock).rerank(**CALL)
    assert (caught.value.attempts, clock.sleeps) == (1, [])


def test_certificates_that_cannot_be_read_are_named_behind_a_proxy(proxy, clock, make_either, monkeypatch):
    """A proxy in the environment changes nothing about that."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", "missing.pem")
    with pytest.raises(errors.CertificateError, match=r"SSL_CERT_FILE=missing\.pem"):
        make_either(base_url="https://127.0.0.1:9", clock=clock).rerank(**CALL)


def test_what_a_hook_raises_comes_through_though_it_is_an_oserror(server):
    """A hook that writes to a full disk has nothing to do with certificates."""

    def on_request(request):
        raise OSError("disk full")

    with (
        httpx.Client(event_hooks={"request": [on_request]}) as own,
        pytest.raises(OSError, match="disk full") as caught,
    ):
        ClientV2("k", base_url=server.url, httpx_client=own).rerank(**CALL)
    assert type(caught.value) is OSError


def test_repeats_and_deadlines_hold_through_a_proxy(server, proxy, clock, make_either, monkeypatch):
    """The path through the environment's proxy has the same rules."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    server.script(error(503, "later"))
    assert ranking(make_either(clock=clock).rerank(**CALL)) == BEST_FIRST
    server.default = drip("body")
    with pytest.raises(errors.DeadlineExceededError):
        make_either(deadline=0.1).rerank(**CALL)


def test_several_event_loops_share_a_client_through_a_proxy(server, proxy, make_async_client, monkeypatch):
    """``asyncio.run`` may be called again and again behind a proxy too."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    client = make_async_client()
    for _ in range(3):
        assert ranking(asyncio.run(client.rerank(**CALL))) == BEST_FIRST
    asyncio.run(client.aclose())
    server.wait_until(lambda s: s.n_open == 0)


FORK = """
import asyncio, os, sys
from cohere_rerank import AsyncClientV2, ClientV2

call = dict(model="m", query="q", documents=["a", "b"])
url = sys.argv[1]
client, async_client = ClientV2("k", base_url=url), AsyncClientV2("k", base_url=url)

def work():
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(async_client.rerank(**call))
    assert client.rerank(**call).scores == first.scores
    return loop

loop = work()  # both pools now hold a connection
child = os.fork()
if not child:
    try:
        work()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
_, status = os.waitpid(child, 0)
assert client.rerank(**call).results
assert loop.run_until_complete(async_client.rerank(**call)).results
client.close()
loop.run_until_complete(async_client.aclose())
loop.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_shares_no_connection_through_a_proxy(server):
    """The child opens connections of its own, and the parent keeps using its."""
    home = str(Path(cohere_rerank.__file__).parents[1])
    environment = {"PYTHONPATH": home, "PYTHONWARNINGS": "error", "HTTP_PROXY": server.url}  # it answers what it gets
    done = subprocess.run([sys.executable, "-c", FORK, server.url], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    parents = {request.connection for request in server.requests[:2] + server.requests[4:]}
    children = {request.connection for request in server.requests[2:4]}
    assert len(server.requests) == 6
    assert parents.isdisjoint(children)
    assert len(parents) == 2


def test_the_local_engine_needs_no_proxy(make_either, monkeypatch):
    """A proxy in the environment does not get local calls."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert make_either(base_url="local:").rerank(**CALL).results


def test_clients_made_with_the_official_helpers_work(server):
    """DefaultAsyncHttpxClient and, with its extra, DefaultAioHttpClient."""
    makers = [cohere_rerank.DefaultAsyncHttpxClient]
    try:
        import httpx_aiohttp  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"cohere-rerank\[aiohttp\]"):
            cohere_rerank.DefaultAioHttpClient()
    else:
        makers.append(cohere_rerank.DefaultAioHttpClient)

    async def main(maker):
        async with AsyncClientV2("k", base_url=server.url, httpx_client=maker()) as client:
            return await client.rerank(**CALL)

    for maker in makers:
        assert maker().timeout.read == 300
        assert ranking(asyncio.run(main(maker))) == BEST_FIRST


def test_a_client_brought_along_serves_copies(server):
    """with_options keeps it."""
    with httpx.Client(headers={"x-own": "1"}) as own:
        ClientV2("k", base_url=server.url, httpx_client=own).with_options(client_name="twin").rerank(**CALL)
    assert (server.requests[0].header("x-own"), server.requests[0].header("x-client-name")) == ("1", "twin")


@pytest.mark.parametrize("value", [b"http://127.0.0.1:9\xff", b"socks9://\xff", b"\xff://x", b"http://a:pa/ssword@h:9"])
def test_proxy_settings_that_are_not_valid_name_the_variable(make_either, monkeypatch, value):
    """The error does not blame base_url, and shows no value, because it may be a password."""
    monkeypatch.setenv("ALL_PROXY", os.fsdecode(value))
    with pytest.raises(
        errors.InvalidRequestError, match=r"proxy settings in the environment.*check ALL_PROXY"
    ) as caught:
        make_either(base_url="http://127.0.0.1:9").rerank(**CALL)
    assert "base_url" not in str(caught.value)
    assert str(caught.value).isascii()
    assert "pa" not in str(caught.value).partition("(")[2].partition(")")[0]


def test_a_no_proxy_that_is_not_valid_names_the_variable(make_either, proxy, monkeypatch):
    """httpx reads a network in NO_PROXY as an address."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,fe80::/10")
    with pytest.raises((errors.InvalidRequestError, errors.ConnectionFailedError)) as caught:
        make_either(base_url="http://127.0.0.1:9", max_retries=0).rerank(**CALL)
    assert "NO_PROXY" in str(caught.value) or "through the proxy" in str(caught.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "NO_PROXY"])
def test_the_fallback_answers_if_the_proxy_settings_are_not_valid(make_either, proxy, monkeypatch, name):
    """The call is right, and the machine is not. The warning names the variable."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv(name, "127.0.0.1,fe80::/10" if name == "NO_PROXY" else "http://127.0.0.1:abc")
    response = make_either(base_url="http://127.0.0.1:9", max_retries=0, fallback="local").rerank(**CALL)
    assert response.is_fallback
    assert name in response.meta.warnings[0]
