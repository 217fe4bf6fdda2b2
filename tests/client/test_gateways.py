"""``headers=``, ``params=``, ``proxy=`` and ``verify=``: what a gateway between the client and the API needs."""

from __future__ import annotations

import pickle
import ssl
from base64 import b64decode

import pytest

from cohere_rerank import Client, ClientV2, errors
from cohere_rerank.cache import ScoreCache
from tests.adapters import client_with_handler, resolve
from tests.client.calls import BEST_FIRST, CALL, ranking
from tests.fake_server import Server, error, refusing_url, reply
from tests.proxy import Proxy

SECRET = "gateway-5ecret-0123"


@pytest.fixture
def proxy():
    with Proxy() as running:
        yield running


def uses_our_connections(client):
    return client.client._state.sender._connections is not None


# Headers and parameters --------------------------------------------------------------------------


def test_headers_and_params_go_with_every_request_over_our_own_connections(server, make_either):
    """They cost no connection: both calls use one connection of our own pool."""
    client = make_either(
        headers={"X-Team": "search", "n": 7, "absent": None}, params={"tenant": "é", "tag": ["a", "b"]}
    )
    for _ in range(2):
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert uses_our_connections(client)
    assert server.n_connections == 1
    for request in server.requests:
        assert (request.header("x-team"), request.header("n"), request.header("absent")) == ("search", "7", None)
        assert request.path == "/v2/rerank?tenant=%C3%A9&tag=a&tag=b"


def test_params_are_added_to_the_query_of_rerank_url(server, make_either):
    """The query of the address stays."""
    make_either(rerank_url=f"{server.url}/v2/rerank?version=2", params={"tenant": "7"}).rerank(**CALL)
    assert server.requests[0].path == "/v2/rerank?version=2&tenant=7"


def test_a_call_has_priority_over_its_client(server, make_either):
    """``request_options`` replaces a header or parameter of the same name, and keeps the others."""
    client = make_either(headers={"X-Team": "search", "X-Zone": "eu"}, params={"a": "1", "b": "2"})
    options = {"additional_headers": {"x-TEAM": "ads"}, "additional_query_parameters": {"b": "3"}}
    client.rerank(**CALL, request_options=options)
    client.rerank(**CALL)
    first, second = server.requests
    assert (first.header("x-team"), first.header("x-zone"), first.path) == ("ads", "eu", "/v2/rerank?a=1&b=3")
    assert (second.header("x-team"), second.path) == ("search", "/v2/rerank?a=1&b=2")


def test_copies_add_to_the_headers_and_params(server, make_either):
    """``with_options`` keeps the others, and removes those whose value is None."""
    client = make_either(headers={"X-Team": "search", "X-Zone": "eu"}, params={"a": "1", "b": "2"})
    copy = client.client.with_options(headers={"x-zone": None, "X-Trace": "t"}, params={"a": None, "c": "3"})
    resolve(client, copy.rerank(**CALL))
    client.rerank(**CALL)
    first, second = server.requests
    assert (first.header("x-team"), first.header("x-zone"), first.header("x-trace")) == ("search", None, "t")
    assert (second.header("x-zone"), second.header("x-trace")) == ("eu", None)
    assert (first.path, second.path) == ("/v2/rerank?b=2&c=3", "/v2/rerank?a=1&b=2")
    assert server.n_connections == 1


def test_the_v1_client_sends_them_too(server):
    """Azure's older endpoints have the v1 API."""
    server.script(reply(json={"results": [{"index": 0, "relevance_score": 0.5}]}))
    with Client("k", base_url=server.url, headers={"api-key": SECRET}, params={"a": "1"}) as client:
        client.rerank(query="q", documents=["a"])
    assert (server.requests[0].header("api-key"), server.requests[0].path) == (SECRET, "/v1/rerank?a=1")


def test_your_own_httpx_client_sends_them(make_either):
    """They belong to the requests, not to the connections."""
    seen = []

    def handler(request):
        import httpx

        seen.append(request)
        return httpx.Response(200, json={"results": [{"index": 0, "relevance_score": 0.5}]})

    client = client_with_handler(make_either, handler, headers={"X-Team": "search"}, params={"a": "1"})
    client.rerank(model="m", query="q", documents=["d"])
    assert (seen[0].headers["x-team"], seen[0].url.query) == ("search", b"a=1")


def test_a_cache_tells_routes_apart_but_not_keys(server, make_either):
    """Another gateway header may mean another model. A new key means the same scores."""
    client = make_either(cache=ScoreCache(), headers={"api-key": SECRET, "X-Route": "a"})
    client.rerank(**CALL)
    for headers, n_requests in (({"api-key": "other-5ecret"}, 1), ({"X-Route": "b"}, 2)):
        resolve(client, client.client.with_options(headers=headers).rerank(**CALL))
        assert len(server.requests) == n_requests


@pytest.mark.parametrize("name", ["Authorization", "api-key", "X-API-Key"])
def test_a_header_can_replace_the_key(server, make_either, monkeypatch, name):
    """Then none is needed, and the key in the environment, which is Cohere's, is not sent to the gateway."""
    monkeypatch.setenv("CO_API_KEY", "key-for-cohere")
    client = make_either(None, headers={name: SECRET})
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    (request,) = server.requests
    assert request.header(name) == SECRET
    assert "key-for-cohere" not in str(request.headers)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"X-Team": f"{SECRET}\r\nX-Admin: 1"}, "X-Team"),
        ({"X-Team": f"{SECRET}é"}, "X-Team"),
        ({"X-Team": f" {SECRET}"}, "X-Team"),
        ({"X-Team": SECRET.encode()}, "X-Team must be a string, got bytes"),
        ({"X Team": SECRET}, "'X Team' is not a valid header name"),
        ({"": SECRET}, "'' is not a valid header name"),
        ({"Content-Length": "5"}, "Content-Length"),
        ([("X-Team", SECRET)], "headers must be a mapping"),
    ],
)
def test_a_broken_header_is_refused_by_name(headers, says):
    """The error names the header, and hides the value, which may be a key."""
    for make in (lambda: ClientV2("k", headers=headers), lambda: ClientV2("k").with_options(headers=headers)):
        with pytest.raises(errors.InvalidRequestError) as caught:
            make()
        assert says.lower() in str(caught.value).lower() and "headers" in str(caught.value)
        assert SECRET not in str(caught.value)


def test_a_secret_header_is_hidden_where_the_server_quotes_it(server, make_either):
    """In the message and the body of an error."""
    client = make_either("", headers={"Authorization": f"Bearer {SECRET}"}, max_retries=0)
    server.script(error(401, f"token {SECRET} is unknown"))
    with pytest.raises(errors.UnauthorizedError) as caught:
        client.rerank(**CALL)
    assert SECRET not in f"{caught.value}{caught.value.body}{client.client!r}{client.client._config!r}"
    assert "[your key]" in str(caught.value)


# Pickles -----------------------------------------------------------------------------------------


def test_a_pickle_keeps_plain_headers_and_refuses_secrets(server, monkeypatch):
    """A pickle is stored on disks and in brokers, so it contains no secret."""
    monkeypatch.setenv("CO_API_KEY", "test-key")
    client = ClientV2(base_url=server.url, headers={"X-Team": "search"}, params={"a": "1"}, verify=False)
    with pickle.loads(pickle.dumps(client)) as copy:
        copy.rerank(**CALL)
    assert (server.requests[0].header("x-team"), server.requests[0].path) == ("search", "/v2/rerank?a=1")
    for settings, what in (
        ({"headers": {"api-key": SECRET}}, "api-key"),
        ({"params": {"token": SECRET}}, "token"),
        ({"params": {"code": SECRET}}, "code"),
        ({"params": {"sig": SECRET}}, "sig"),
        ({"rerank_url": f"https://gateway.example/rank?a=1&api-key={SECRET}"}, "api-key"),
        ({"proxy": f"http://me:{SECRET}@127.0.0.1:9"}, "proxy="),
        ({"verify": ssl.create_default_context()}, "verify="),
    ):
        with pytest.raises(TypeError, match=what) as caught:
            pickle.dumps(ClientV2("k", **settings))
        assert SECRET not in str(caught.value)


# Proxies -----------------------------------------------------------------------------------------


def test_a_proxy_gets_the_requests_and_its_password(server, proxy, make_either, monkeypatch):
    """The variables of the environment are ignored, NO_PROXY too. Connections are kept."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    client = make_either(proxy=proxy.url.replace("//", f"//me:{SECRET}@"), headers={"X-Team": "search"})
    for _ in range(2):
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert proxy.targets == [f"POST {server.url}/v2/rerank"]
    assert not uses_our_connections(client)
    assert server.requests[0].header("x-team") == "search"
    given = proxy.headers[0].lower().partition(b"proxy-authorization: basic ")[2].split(b"\r\n")[0]
    expected = f"me:{SECRET}"
    assert b64decode(_original(proxy.headers[0], given)).decode() == expected


def _original(head, lowered):
    start = head.lower().index(lowered)
    return head[start : start + len(lowered)]


def test_a_proxy_tunnels_https_with_a_private_authority(proxy, make_either, tmp_path):
    """CONNECT, then TLS with the server itself, checked with the certificates of ``verify=``."""
    with Server(tls="trusted") as server:
        authority = server.write_authority(tmp_path / "ca.pem")
        client = make_either(base_url=server.url, proxy=proxy.url, verify=authority)
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
        assert proxy.targets == [f"CONNECT 127.0.0.1:{server.port}"]
        assert b"test-key" not in proxy.headers[0]
        resolve(client, client.client.close())


def test_a_proxy_that_fails_is_named_without_its_password(clock, make_either):
    """In the text, in the representation, and in everything that led to the error."""
    with refusing_url() as url:
        address = url.replace("//", f"//me:{SECRET}@")
        client = make_either(base_url="http://127.0.0.1:9", proxy=address, clock=clock)
        with pytest.raises(errors.ConnectionFailedError, match=f"through the proxy {url}") as caught:
            client.rerank(**CALL)
    failure = caught.value
    while failure is not None:
        assert SECRET not in f"{failure}{failure!r}{failure.args}"
        failure = failure.__cause__ or failure.__context__
    assert SECRET not in f"{client.client!r}{client.client._config!r}"


@pytest.mark.parametrize(
    "proxy",
    ["127.0.0.1:3128", f"ftp://me:{SECRET}@host:1", f"http://me:{SECRET}@:1", "http://host:99999", "http://a b"],
)
def test_a_proxy_that_is_not_an_address_is_refused(proxy):
    """When the client is made, without its password."""
    with pytest.raises(errors.InvalidRequestError, match="proxy must look like") as caught:
        ClientV2("k", proxy=proxy)
    assert SECRET not in str(caught.value)


# Certificates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "text", "folder", "context"])
def test_verify_names_the_authorities_to_trust(make_either, tmp_path, kind):
    """A path of a file or a folder, or TLS settings of your own. The connections are our own."""
    with Server(tls="trusted") as server:
        authority = server.write_authority(tmp_path / "ca.pem")
        if kind == "folder":
            verify = tmp_path / "folder"
            verify.mkdir()
            server.write_authority(verify / _hash_name(authority))
        else:
            context = ssl.create_default_context(cafile=authority)
            verify = {"file": authority, "text": str(authority), "context": context}[kind]
        client = make_either(base_url=server.url, verify=verify)
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
        assert uses_our_connections(client)
        resolve(client, client.client.close())


def _hash_name(authority):
    import subprocess

    command = ["openssl", "x509", "-hash", "-noout", "-in", str(authority)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() + ".0"
    except FileNotFoundError:
        pytest.skip("the program openssl is not installed")


def test_verify_false_accepts_any_certificate(make_either):
    """By default the same server is refused, with the advice to pass ``verify=``."""
    with Server(tls="self-signed") as server:
        with pytest.raises(errors.CertificateError, match="pass verify="):
            make_either(base_url=server.url).rerank(**CALL)
        client = make_either(base_url=server.url, verify=False)
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
        resolve(client, client.client.close())


def test_verify_with_a_wrong_value_is_refused(make_either, tmp_path):
    """A missing path when the client is made; a file without certificates with its first call."""
    with pytest.raises(errors.InvalidRequestError, match=r"verify names '.*missing\.pem', which does not exist"):
        ClientV2("k", verify=tmp_path / "missing.pem")
    with pytest.raises(errors.InvalidRequestError, match=r"verify must be True, False.*got 1"):
        ClientV2("k", verify=1)
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(
        errors.InvalidRequestError, match=r"verify names '.*empty\.pem', which contains no certificates"
    ):
        make_either(verify=tmp_path / "empty.pem").rerank(**CALL)


# Combinations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [{"proxy": "http://127.0.0.1:9"}, {"verify": False}, {"verify": True}])
def test_settings_of_connections_are_refused_with_your_own_httpx_client(make_either, setting):
    """That client has its own. The error says where to put them."""
    (name,) = setting
    with pytest.raises(errors.InvalidRequestError, match=f"{name} has no effect on your own httpx_client; pass {name}"):
        client_with_handler(make_either, lambda request: None, **setting)


def test_the_local_engine_ignores_them(make_either):
    """CO_API_URL=local: keeps any program off the network, so no setting of connections may break it."""
    client = make_either(
        base_url="local:", headers={"a": "1"}, params={"b": "2"}, proxy="http://127.0.0.1:9", verify=False
    )
    assert len(client.rerank(**CALL).results) == 3


def test_each_of_several_secret_headers_is_hidden(server, make_either):
    """Also where one of them contains another."""
    client = make_either("", headers={"api-key": SECRET, "x-token": f"t-{SECRET}"}, max_retries=0)
    server.script(error(400, f"{SECRET} and t-{SECRET}"))
    with pytest.raises(errors.BadRequestError) as caught:
        client.rerank(**CALL)
    assert SECRET not in str(caught.value)
