"""The Host and Origin headers: a web page must not reach a server on this machine under a name of its own."""

from __future__ import annotations

import httpx
import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.server import ServerSettings
from cohere_rerank.server.hosts import check_host
from cohere_rerank.server.http import HttpError
from tests.server.request_helpers import error_message
from tests.server.running_server import RERANK_BODY, RunningServer, program

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8", "127.0.0.1:80", "[::1]:8000", "localhost.", "127.8.8.8"])
@pytest.mark.parametrize("origin", [None, "http://localhost:3000", "http://[::1]"])
def test_loopback_names_are_accepted(host, origin):
    """The port, the case and a final dot do not matter."""
    check_host(LOOPBACK, host, origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", None),
        ("localhost.evil.example", None),
        ("127.0.0.1.evil.example", None),
        ("user@evil.example:80", None),
        ("[", None),
        ("", None),
        (None, None),
        ("192.168.0.7", None),
        ("localhost", "http://evil.example"),
        ("localhost", "null"),
        ("localhost", ""),
    ],
)
def test_other_names_are_rejected(host, origin):
    """Both headers must name an allowed host. The message names --allow-host."""
    with pytest.raises(HttpError, match="--allow-host") as caught:
        check_host(LOOPBACK, host, origin)
    assert caught.value.status == 421


def test_without_allowed_hosts_every_name_is_accepted():
    """An application inside another one has no list."""
    check_host(None, "evil.example", "http://evil.example")


@pytest.mark.parametrize("hosts", ["localhost", ["http://x"], ["x:80"], [""], [None], 3])
def test_hosts_must_be_names(hosts):
    """A port or a scheme is an error, because it would never match."""
    with pytest.raises(InvalidRequestError, match="allowed_hosts"):
        ServerSettings(allowed_hosts=hosts)


def test_a_page_with_another_name_gets_nothing():
    """All paths with content are protected, also those that need no key. Probes name the address of a container."""
    with RunningServer(allowed_hosts=["localhost", "127.0.0.1"]) as running:
        assert running.post().status_code == 200
        for path in ("/", "/metrics", "/openapi.json", "/v1/models"):
            assert error_message(running.http.get(path, headers={"host": "evil.example"}), 421)
        for path in ("/health", "/ready"):
            assert running.http.get(path, headers={"host": "10.0.0.7:8000"}).status_code == 200
        assert error_message(running.post(host="evil.example"), 421)
        assert error_message(running.post(origin="http://evil.example"), 421)


def test_the_program_protects_a_loopback_address():
    """Without keys only loopback names and --allow-host names are accepted; with keys every name is."""
    with program("--allow-host", "rerank.test") as started:
        statuses = [
            httpx.post(f"{started.url}/v2/rerank", json=RERANK_BODY, headers={"host": host}).status_code
            for host in ("127.0.0.1", "localhost:1", "rerank.test", "evil.example")
        ]
        assert statuses == [200, 200, 200, 421]
    with program(CO_SERVER_API_KEY="key") as started:
        assert httpx.get(f"{started.url}/health", headers={"host": "evil.example"}).status_code == 200
