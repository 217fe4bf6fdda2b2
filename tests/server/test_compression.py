"""Compressed responses, and the tag of the OpenAPI document."""

from __future__ import annotations

import gzip

import pytest

from cohere_rerank.server.compression import accepts_gzip

MANY = {"model": "m", "query": "green tea", "documents": [f"green tea number {n}" for n in range(1000)]}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("identity", False),
        ("br", False),
        ("", False),
    ],
)
def test_the_weights_of_accept_encoding_count(header, expected):
    """RFC 9110, section 12.5.3."""
    assert accepts_gzip(header) is expected


def test_a_large_response_is_compressed_if_the_client_accepts_it(open_server):
    """The content is the same, and a tenth of the bytes is sent."""
    plain = open_server.post(body=MANY, **{"accept-encoding": "identity"})
    raw = open_server.raw(
        b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    )
    compressed = open_server.post(body=MANY, **{"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == compressed.headers["vary"] == "accept-encoding"
    assert compressed.json()["results"] == plain.json()["results"]
    assert int(compressed.headers["content-length"]) * 4 < int(plain.headers["content-length"])
    head, _, body = raw.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert gzip.decompress(body) == open_server.http.get("/openapi.json").content


def test_a_small_response_is_not_compressed(open_server):
    """It would cost more time than it saves."""
    reply = open_server.post(**{"accept-encoding": "gzip"})
    assert "content-encoding" not in reply.headers
    assert "vary" not in reply.headers


def test_the_openapi_document_is_sent_again_only_if_it_changed(open_server):
    """A client that has it gets 304 without a body, whichever coding it got first."""
    first = open_server.http.get("/openapi.json")
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = open_server.http.get("/openapi.json", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    changed = open_server.http.get("/openapi.json", headers={"if-none-match": '"other"'})
    assert (changed.status_code, changed.content) == (200, first.content)
