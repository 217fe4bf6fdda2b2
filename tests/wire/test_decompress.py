"""Reading a body piece by piece: every encoding whole, nothing past the limit, nothing broken taken for whole."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank._wire.decompress import ACCEPT_ENCODING, BoundedBody

MIB = 1024 * 1024
TEXT = b'{"results": []} ' * 50


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def stored(data):
    """Deflate without compression, as level 0 produces it."""
    packer = zlib.compressobj(0, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def in_members(data):
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(b"") + gzip.compress(data[half:])


FORMS = {
    "plain": (None, bytes),
    "empty encoding": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "GZIP": (" GZIP ", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip, level 0": ("gzip", lambda data: gzip.compress(data, 0)),
    "gzip in members": ("gzip", in_members),
    "gzip with padding": ("gzip", lambda data: gzip.compress(data) + b"\0" * 9),
    "gzip, really zlib": ("gzip", zlib.compress),
    "deflate": ("deflate", zlib.compress),
    "Deflate": ("Deflate", zlib.compress),
    "deflate, level 9": ("deflate", lambda data: zlib.compress(data, 9)),
    "raw deflate": ("deflate", raw_deflate),
    "raw deflate, stored": ("deflate", stored),
    "deflate, really gzip": ("deflate", gzip.compress),
}


def headers_of(encoding):
    return {} if encoding is None else {"content-encoding": encoding}


def read(chunks, headers=None, limit=MIB, status=200):
    body = BoundedBody(headers or {}, status, limit)
    for chunk in chunks:
        body.feed(chunk)
    return body.content()


def pieces(data, sizes):
    """The data in chunks of these sizes over and over, empty ones among them."""
    chunks, at = [], 0
    while at < len(data):
        for size in sizes:
            chunks.append(data[at : at + size])
            at += size
    return chunks


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [[10**6], [1], [2], [3, 0, 1], [0, 7]])
def test_every_form_is_read_whole_however_it_is_cut(form, sizes):
    """The network cuts where it likes, inside a header too."""
    encoding, pack = FORMS[form]
    assert read(pieces(pack(TEXT), sizes), headers_of(encoding)) == TEXT


@settings(max_examples=60)
@given(
    data=st.binary(max_size=3000) | st.binary(max_size=5).map(lambda part: part * 900),
    form=st.sampled_from(sorted(FORMS)),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=4),
)
def test_any_data_comes_back(data, form, sizes):
    """Also when it is exactly as long as allowed."""
    encoding, pack = FORMS[form]
    assert read(pieces(pack(data), sizes), headers_of(encoding), limit=max(1, len(data))) == data


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate", "br", "identity"])
def test_a_body_may_be_empty(encoding):
    """Whatever encoding is claimed for it; of a success only if we can read that at all."""
    status = 503 if encoding == "br" else 200
    assert read([], headers_of(encoding), status=status) == b""
    assert read([b"", b""], headers_of(encoding), status=status) == b""


# The limit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [[10**6], [1], [100]])
def test_one_byte_too_many_is_refused(form, sizes):
    """As much as the limit is fine, a byte more is an error that says which setting it is."""
    encoding, pack = FORMS[form]
    chunks = pieces(pack(TEXT), sizes)
    assert read(chunks, headers_of(encoding), limit=len(TEXT)) == TEXT
    with pytest.raises(errors.ResponseTooLargeError, match="max_response_bytes") as caught:
        read(chunks, headers_of(encoding), limit=len(TEXT) - 1)
    assert f"{len(TEXT) - 1} bytes" in str(caught.value)
    assert isinstance(caught.value, errors.InvalidResponseError)


@pytest.mark.parametrize("form", ["gzip", "gzip in members", "deflate", "raw deflate"])
def test_a_bomb_goes_off_in_no_more_memory_than_the_limit(form):
    """A chunk of a few kB contains a hundred times the limit. It is rejected before it is decompressed."""
    encoding, pack = FORMS[form]
    limit = MIB // 4
    bomb = pack(b"\0" * (100 * limit))
    assert len(bomb) < limit / 4
    tracemalloc.start()
    try:
        with pytest.raises(errors.ResponseTooLargeError):
            read([bomb], headers_of(encoding), limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * limit


def test_a_bomb_at_the_end_gets_only_the_room_that_is_left():
    """Not the whole limit once more."""
    limit = MIB
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(b"\0" * (limit - 1)) + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.compress(b"\0" * (50 * limit)) + packer.flush()
    body = BoundedBody({"content-encoding": "gzip"}, 200, limit)
    tracemalloc.start()
    try:
        body.feed(start)
        tracemalloc.reset_peak()
        with pytest.raises(errors.ResponseTooLargeError):
            body.feed(rest)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * limit


def test_a_bomb_of_many_members_is_refused():
    """The limit holds for their sum."""
    member = gzip.compress(b"\0" * 1000)
    assert read([member * 10], headers_of("gzip"), limit=10_000) == b"\0" * 10_000
    with pytest.raises(errors.ResponseTooLargeError):
        read([member * 11], headers_of("gzip"), limit=10_000)


def test_what_announces_its_size_is_refused_before_it_is_read():
    """Content-Length is enough. A value that is not a number is ignored."""
    with pytest.raises(errors.ResponseTooLargeError) as caught:
        BoundedBody({"content-length": "101", "x-request-id": "r"}, 200, 100)
    assert (caught.value.status_code, caught.value.request_id) == (200, "r")
    for length in ("100", "", "many", "-1"):
        BoundedBody({"content-length": length}, 200, 100)


def test_an_error_page_too_is_held_to_the_limit():
    """Its body is dropped, and no more is read. The status says enough and decides about a retry."""
    body = BoundedBody({}, 503, 100)
    body.feed(b"x" * 101)
    assert body.is_discarded
    assert body.content() == b""
    assert BoundedBody({"content-length": "101"}, 503, 100).is_discarded


@pytest.mark.parametrize("name", ["UTF-8", "none", "identity", "utf-8, gzip", "x" * 10_000])
def test_an_encoding_that_is_not_a_compression_is_ignored(name):
    """Some servers send the charset. httpx, and so the official client, read such replies."""
    data = gzip.compress(TEXT) if "gzip" in name else TEXT
    assert read(pieces(data, [7]), {"content-encoding": name}) == TEXT


@pytest.mark.parametrize("rest", [b"\r\n", b"junk", b"\n", b"\0\0\r\n"])
@pytest.mark.parametrize("form", ["gzip", "deflate"])
def test_bytes_after_the_compressed_body_are_ignored(form, rest):
    """As httpx ignores them."""
    encoding, pack = FORMS[form]
    for sizes in ([10**6], [1]):
        assert read(pieces(pack(TEXT) + rest, sizes), headers_of(encoding)) == TEXT


def test_a_body_without_end_that_decompresses_to_nothing_is_stopped():
    """Bytes on the wire count too: empty members of gzip add nothing to the body."""
    with pytest.raises(errors.ResponseTooLargeError):
        read([gzip.compress(b"") * 1000] * 100, headers_of("gzip"), limit=10_000)


def test_a_body_in_too_many_pieces_is_stopped():
    """Each piece costs time, so that a body of single bytes ends earlier."""
    with pytest.raises(errors.ResponseTooLargeError):
        read([b" "] * 30_000, limit=256 * 1024)
    assert len(read([b" "] * 15_000, limit=256 * 1024)) == 15_000


def test_a_page_of_html_that_is_too_large_is_named():
    """The likely mistake is the address, not the limit."""
    with pytest.raises(errors.InvalidResponseError, match="HTML page came instead of JSON; check base_url"):
        read([b"<!DOCTYPE html>", b"x" * 1000], limit=100)


# Broken bodies -----------------------------------------------------------------------------------

PACKED = gzip.compress(TEXT)
BROKEN = {
    "cut in the header": ("gzip", PACKED[:1]),
    "cut after the header": ("gzip", PACKED[:10]),
    "cut in the middle": ("gzip", PACKED[: len(PACKED) // 2]),
    "cut in the checksum": ("gzip", PACKED[:-1]),
    "wrong checksum": ("gzip", PACKED[:-8] + b"\0" * 8),
    "wrong in the middle": ("gzip", PACKED[:12] + b"\xff" * 8 + PACKED[20:]),
    "not gzip": ("gzip", TEXT),
    "raw deflate called gzip": ("gzip", raw_deflate(TEXT)),
    "second member cut": ("gzip", PACKED + PACKED[:9]),
    "zlib cut": ("deflate", zlib.compress(TEXT)[:-1]),
    "zlib, wrong checksum": ("deflate", zlib.compress(TEXT)[:-4] + b"\0" * 4),
    "raw deflate cut": ("deflate", raw_deflate(TEXT)[:-2]),
    "deflate of one byte": ("deflate", b"x"),
    "not deflate": ("deflate", b"\xff" * 20),
    "br": ("br", b"\x0b\x02\x80text\x03"),
    "zstd": ("zstd", b"\x28\xb5\x2f\xfd"),
    "twice": ("gzip, gzip", gzip.compress(PACKED)),
    "two kinds": ("gzip, br", PACKED),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("sizes", [[10**6], [1]])
def test_a_broken_body_is_an_invalid_response(name, sizes):
    """Never a part of it, never zlib's own error; one short line without what came."""
    encoding, data = BROKEN[name]
    with pytest.raises(errors.InvalidResponseError) as caught:
        read(pieces(data, sizes), {"content-encoding": encoding, "x-request-id": "r"})
    error = caught.value
    assert not isinstance(error, errors.ResponseTooLargeError)
    assert (error.status_code, error.request_id) == (200, "r")
    assert "results" not in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 250


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("status", [400, 429, 502, 503])
def test_a_broken_body_of_an_error_counts_as_empty(name, status):
    """The status says what is wrong and decides about a retry. A proxy's brotli page must not hide a 503."""
    encoding, data = BROKEN[name]
    assert read(pieces(data, [5]), headers_of(encoding), status=status) == b""


@given(data=st.binary(max_size=300), encoding=st.sampled_from(["gzip", "deflate"]), sizes=st.lists(st.integers(1, 9)))
def test_any_bytes_are_read_or_refused(data, encoding, sizes):
    """Never another exception."""
    try:
        content = read(pieces(data, sizes or [1000]), headers_of(encoding), limit=1000)
    except errors.InvalidResponseError:
        return
    assert len(content) <= 1000


@settings(max_examples=60)
@given(flip=st.integers(0, len(PACKED) * 8 - 1))
def test_a_flipped_bit_never_gives_another_text(flip):
    """The checksum catches it, or it was in a part of the header that does not matter."""
    data = bytearray(PACKED)
    data[flip // 8] ^= 1 << flip % 8
    try:
        content = read([bytes(data)], headers_of("gzip"))
    except errors.InvalidResponseError:
        return
    assert content == TEXT


def test_only_what_can_be_read_is_asked_for():
    """Each name in Accept-Encoding is one of the forms above."""
    known = {encoding for encoding, _ in FORMS.values()}
    assert {name.strip() for name in ACCEPT_ENCODING.split(",")} <= known
