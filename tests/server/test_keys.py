"""Which keys open the server, and what is open without one."""

from __future__ import annotations

import pytest

from tests.server.request_helpers import KEYS, error_message


@pytest.mark.parametrize("header", [f"{word} {key}" for word in ("Bearer", "bearer", "BEARER") for key in KEYS])
def test_each_key_opens(keyed_server, header):
    """The word before it in any case."""
    assert keyed_server.post(authorization=header).status_code == 200


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "no api key supplied"),
        ({"authorization": "Bearer"}, "no api key supplied"),
        ({"authorization": "Basic Zm9v"}, "no api key supplied"),
        ({"authorization": "Bearer wrong"}, "invalid api token"),
        ({"authorization": "Bearer first-key second-key"}, "invalid api token"),
        ({"authorization": "Bearer first-ke"}, "invalid api token"),
        ({"authorization": "Bearer first-key,second-key"}, "invalid api token"),
    ],
)
def test_other_keys_are_refused(keyed_server, headers, words):
    """401 in Cohere's words, before the body is looked at."""
    refused = keyed_server.post("/v2/rerank", b"no json", **headers)
    assert error_message(refused, 401) == words
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_key_of_any_bytes_is_refused_not_failed_on(keyed_server):
    """Headers need not be ASCII."""
    got = keyed_server.raw(b"POST /v2/rerank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xc3\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 401 ")


def test_models_want_the_key_and_probes_do_not(keyed_server):
    """What a monitor asks for is open."""
    assert error_message(keyed_server.http.get("/v1/models"), 401)
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/"):
        assert keyed_server.http.get(path).status_code == 200
