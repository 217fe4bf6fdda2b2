"""Which keys open the server, and what is open without one."""

from __future__ import annotations

import pytest

from tests.server.request_helpers import KEYS, sentence


@pytest.mark.parametrize("header", [f"{word} {key}" for word in ("Bearer", "bearer", "BEARER") for key in KEYS])
def test_each_key_opens(locked, header):
    """The word before it in any case."""
    assert locked.post(authorization=header).status_code == 200


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
def test_other_keys_are_refused(locked, headers, words):
    """401 in Cohere's words, before the body is looked at."""
    refused = locked.post("/v2/rerank", b"no json", **headers)
    assert sentence(refused, 401) == words
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_key_of_any_bytes_is_refused_not_failed_on(locked):
    """Headers need not be ASCII."""
    got = locked.raw(b"POST /v2/rerank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xc3\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 401 ")


def test_models_want_the_key_and_probes_do_not(locked):
    """What a monitor asks for is open."""
    assert sentence(locked.http.get("/v1/models"), 401)
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/"):
        assert locked.http.get(path).status_code == 200
