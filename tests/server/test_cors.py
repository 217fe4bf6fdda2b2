"""Web pages of other origins: which ones may call the server, and what a browser asks before."""

from __future__ import annotations

import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.server import ServerSettings
from tests.server.request_helpers import error_message
from tests.server.running_server import RunningServer

PAGE = "https://app.example.org"
LOOPBACK = ("127.0.0.1", "localhost")
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


@pytest.fixture(scope="module")
def server():
    origins = ("HTTPS://app.example.org:443", "http://localhost:3000")
    with RunningServer(api_keys=("key",), cors_origins=origins, allowed_hosts=LOOPBACK) as running:
        yield running


def preflight(server, path="/v2/rerank", origin=PAGE):
    return server.http.request("OPTIONS", path, headers={**PREFLIGHT, "origin": origin})


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
def test_a_preflight_request_is_answered_without_a_key(server, path):
    """A browser sends no key before it is allowed to."""
    reply = preflight(server, path)
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == PAGE
    assert reply.headers["access-control-allow-methods"] == "POST"
    assert {"authorization", "content-type"} <= set(reply.headers["access-control-allow-headers"].split(", "))
    assert reply.headers["vary"] == "origin"
    assert "content-length" not in reply.headers  # RFC 9110, section 8.6
    assert "access-control-allow-credentials" not in reply.headers


def test_a_page_may_get_the_models(server):
    """The other paths are for GET."""
    assert preflight(server, "/v1/models").headers["access-control-allow-methods"] == "GET"


@pytest.mark.parametrize("key", ["key", "wrong"])
def test_a_page_can_read_responses_and_errors(server, key):
    """An error without these headers would look like a lost network to the page."""
    reply = server.post(authorization=f"Bearer {key}", origin=PAGE)
    assert reply.status_code == (200 if key == "key" else 401)
    assert reply.headers["access-control-allow-origin"] == PAGE
    assert "x-answered-by" in reply.headers["access-control-expose-headers"]
    assert reply.headers["vary"] == "origin"


def test_a_page_of_another_origin_gets_what_it_got_before(server):
    """It gets no header that lets it read a response."""
    error_message(preflight(server, origin="https://evil.example"), 421)
    with RunningServer(cors_origins=(PAGE,)) as without_list_of_hosts:
        error_message(preflight(without_list_of_hosts, origin="https://evil.example"), 405)
        reply = without_list_of_hosts.post(origin="https://evil.example")
        assert reply.status_code == 200
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_request_without_an_origin_is_unchanged(server):
    """Programs are not browsers. A cache learns that the response depends on the origin."""
    reply = server.post(authorization="Bearer key")
    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert reply.headers["vary"] == "origin"
    assert server.http.options("/v2/rerank").status_code == 405


def test_a_star_allows_every_page_without_credentials():
    """The reply is the same for every page, so caches may share it."""
    with RunningServer(cors_origins=("*",), allowed_hosts=LOOPBACK) as running:
        for reply in (preflight(running), running.post(origin=PAGE)):
            assert reply.headers["access-control-allow-origin"] == "*"
            assert "vary" not in reply.headers
            assert "access-control-allow-credentials" not in reply.headers
        error_message(running.post(origin=PAGE, host="evil.example"), 421)  # DNS rebinding


def test_without_the_option_nothing_changes(open_server):
    """A server without origins has no CORS headers."""
    error_message(preflight(open_server), 405)
    assert "vary" not in open_server.post(origin=PAGE).headers


@pytest.mark.parametrize("origins", ["*", ["app.example.org"], ["https://a.example/"], ["null"], ["https://*.a"], [1]])
def test_an_origin_is_a_scheme_and_a_host(origins):
    """A value that a browser never sends is an error."""
    with pytest.raises(InvalidRequestError, match="cors_origins"):
        ServerSettings(cors_origins=origins)
