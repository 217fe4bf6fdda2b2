"""The keys of the server, and what is accessible without a key."""

from __future__ import annotations

import pytest

from tests.server.request_helpers import KEYS, error_message


@pytest.mark.parametrize("header", [f"{word} {key}" for word in ("Bearer", "bearer", "BEARER") for key in KEYS])
def test_each_key_is_accepted(keyed_server, header):
    """Every key is accepted, with the word "bearer" in any case."""
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
def test_other_keys_are_rejected(keyed_server, headers, words):
    """Other keys get 401 with Cohere's message, before the body is parsed."""
    refused = keyed_server.post("/v2/rerank", b"no json", **headers)
    assert error_message(refused, 401) == words
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_key_of_any_bytes_is_rejected(keyed_server):
    """A key that is not ASCII gets 401, not an internal error."""
    got = keyed_server.raw(b"POST /v2/rerank HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\xc3\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 401 ")


def test_models_need_a_key_and_probes_do_not(keyed_server):
    """The paths for monitors and the page need no key."""
    assert error_message(keyed_server.http.get("/v1/models"), 401)
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/"):
        assert keyed_server.http.get(path).status_code == 200
