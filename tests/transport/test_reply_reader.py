"""The reader of replies agrees with h11, however a reply is cut into pieces."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import h11
import pytest

from cohere_rerank._transport.connection_errors import RemoteProtocolError
from cohere_rerank._transport.h11_reader import MAX_BLOCK_BYTES
from cohere_rerank._transport.reply_reader import MAX_PLAIN_HEAD_BYTES, ReplyReader
from cohere_rerank.errors import ResponseTooLargeError

ODD_BYTES = (0, 9, 10, 13, 32, 44, 58, 59, 48, 49, 65, 97, 127, 255)
OK = b"HTTP/1.1 200 OK\r\n"


class Outcome(NamedTuple):
    """What a reader made of a reply. The status is 0 if it is not a reply."""

    status: int = 0
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()
    is_reusable: bool = False


def read(data: bytes, cuts: tuple[int, ...] = (), method: str = "POST") -> Outcome:
    """Read a reply in pieces, and then the end of the connection."""
    reader = ReplyReader(method)
    edges = [0, *cuts, len(data)]
    body = []
    try:
        for start, end in pairwise(edges):
            if start < end:
                is_complete = reader.feed(data[start:end])
                body.append(reader.body)
                if is_complete:
                    # What comes later makes the connection readable, so that it is not used again.
                    is_reusable = reader.is_reusable and end == len(data)
                    return Outcome(reader.status, b"".join(body), tuple(reader.fields), is_reusable)
        assert reader.feed(b""), "the end completes a reply, or is an error"
        assert not reader.is_reusable
        body.append(reader.body)
    except RemoteProtocolError:
        return Outcome()
    return Outcome(reader.status, b"".join(body), tuple(reader.fields))


def read_by_h11(data: bytes, method: str = "POST") -> Outcome:
    """Read a reply with h11 alone, in one piece."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_BLOCK_BYTES)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "h"), ("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    status, body, is_closed = 0, b"", False
    fields: tuple[tuple[str, str], ...] = ()
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.NEED_DATA):
                if is_closed:
                    return Outcome()
                connection.receive_data(b"")
                is_closed = True
            elif isinstance(event, h11.Response):
                status = event.status_code
                fields = tuple((name.decode(), value.decode("latin-1")) for name, value in event.headers.raw_items())
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse):
                return Outcome()
    except h11.RemoteProtocolError:
        return Outcome()
    states = connection.our_state, connection.their_state
    is_reusable = states == (h11.DONE, h11.DONE) and not is_closed and not connection.trailing_data[0]
    return Outcome(status, body, fields, is_reusable)


def chunked(chance: random.Random, body: bytes) -> bytes:
    parts = []
    while body:
        n = chance.randint(1, 9)
        piece, body = body[:n], body[n:]
        size = (b"%x", b"%X", b"00%x")[chance.randrange(3)] % len(piece)
        parts.append(size + chance.choice((b"", b"", b"", b";a=b", b" ;q", b" ")) + b"\r\n" + piece + b"\r\n")
    return b"".join(parts) + b"0\r\n" + chance.choice((b"", b"", b"", b"x-t: 1\r\n", b" folded\r\n")) + b"\r\n"


def reply_of(chance: random.Random) -> bytes:
    """A reply as servers send it, or nearly. Half of them are plain."""
    body = bytes(chance.choice((32, 48, 65, 97, 123, 13, 10)) for _ in range(chance.choice((0, 1, 5, 20))))
    length = b"%d" % len(body)
    kind = chance.choice(("length", "length", "chunks", "chunks", "close", "both", "bodiless", "twice"))
    status = chance.choice((b"200 OK", b"200 OK", b"200 ", b"200", b"404 Not Found", b"503 x y", b"500 \xe9", b"307 T"))
    fields = [(b"content-type", b"application/json")]
    if kind in ("length", "both", "twice"):
        fields.append((chance.choice((b"Content-Length", b"content-length")), length))
    if kind in ("chunks", "both"):
        fields.append((b"Transfer-Encoding", chance.choice((b"chunked", b"chunked", b"Chunked", b"gzip, chunked"))))
    if kind == "twice":
        fields.append((b"content-length", chance.choice((length, length + b"1", length + b", " + length))))
    if kind == "bodiless":
        status = chance.choice((b"204 No Content", b"304 Not Modified"))
    if chance.random() < 0.2:
        values = (b"close", b"keep-alive", b"Close", b"Upgrade", b"keep-alive, close")
        fields.append((chance.choice((b"Connection", b"connection", b"Upgrade")), chance.choice(values)))
    for _ in range(chance.randint(0, 2)):
        odd_values = (b"", b"a", b" b c ", b"\xff\xfe", b"a\tb", b"a\r\n folded")
        fields.append((b"x-%d" % chance.randrange(9), chance.choice(odd_values)))
    chance.shuffle(fields)
    before = (b"", b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
    version = chance.choice((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"))
    newline = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n"))
    lines = [version + b" " + status, *(n + b":" + chance.choice((b" ", b"", b"\t")) + v for n, v in fields), b"", b""]
    tail = chunked(chance, body) if kind in ("chunks", "both") else b"" if kind == "bodiless" else body
    return chance.choice(before) + newline.join(lines) + tail


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The reply with a few bytes changed, or with the start of another one behind it."""
    how = chance.random()
    if how < 0.55:
        return data
    if how < 0.6:
        return data + chance.choice((b"\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed))
        what = chance.random()
        if what < 0.4:
            changed[at] = chance.choice((*ODD_BYTES, chance.randrange(256)))
        elif what < 0.6:
            del changed[at]
        elif what < 0.8:
            changed[at:at] = bytes([chance.choice((0, 10, 13, 32, 58, 48))])
        else:
            del changed[at:]
        if not changed:
            changed += b"H"
    return bytes(changed)


def check(data: bytes, cuts: Iterator[tuple[int, ...]], method: str = "POST") -> Outcome:
    """Compare the outcomes for all these cuts with each other, and with h11's."""
    ours, theirs = read(data, method=method), read_by_h11(data, method)
    assert ours[:3] == theirs[:3], data
    assert theirs.is_reusable or not ours.is_reusable, data
    for cut in cuts:
        again = read(data, cut, method)
        assert again[:3] == ours[:3], (data, cut)
        assert theirs.is_reusable or not again.is_reusable, (data, cut)
    return ours


def cuts_of(chance: random.Random, data: bytes, *, each_place: bool) -> Iterator[tuple[int, ...]]:
    """All places at once, in pieces of one byte; a few pieces of any size; and each place alone."""
    places = range(1, len(data))
    yield tuple(places)
    for n in (1, 2, 3):
        yield tuple(sorted(chance.sample(places, min(n, len(places)))))
    if each_place:
        for at in places:
            yield (at,)


def fuzz(seed: int, n_replies: int, n_for_each_place: int) -> None:
    """Check random replies. They include all kinds: read by us, read by h11, and errors."""
    chance = random.Random(seed)
    n_read = n_errors = n_reusable = 0
    for number in range(n_replies):
        data = mutated(chance, reply_of(chance))
        cuts = cuts_of(chance, data, each_place=number < n_for_each_place)
        outcome = check(data, cuts, chance.choice(("POST", "POST", "POST", "HEAD")))
        n_read += outcome.status > 0
        n_errors += outcome.status == 0
        n_reusable += outcome.is_reusable
    assert min(n_read, n_errors, n_reusable) > n_replies // 20


@pytest.mark.parametrize("seed", range(20))
def test_random_replies_are_read_as_h11_reads_them(seed):
    """However a reply is cut, status, headers and body are the same, and reuse is never allowed where h11 does not.

    20,000 replies in all, each cut at every place at once, and some also at each place alone.
    """
    fuzz(seed, 1000, 40)


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_more_random_replies_are_read_as_h11_reads_them(seed):
    """The same for 40,000 further replies, each also cut at each place alone. A thousand of them take 20 s of CPU."""
    fuzz(seed, 1000, 1000)


PLAIN = {
    "length": OK + b"Content-Type: application/json\r\ncontent-length: 5\r\n\r\nhello",
    "no reason": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "chunks": OK + b"Transfer-Encoding: chunked\r\nConnection: Keep-Alive\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    "empty value": OK + b"x-a:\r\nx-b: \t \r\ncontent-length: 1\r\n\r\nx",
    "repeated cookie": OK + b"set-cookie: a\r\nset-cookie: b\r\ncontent-length: 1\r\n\r\nx",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_replies_are_read_without_h11(name, monkeypatch):
    """They are what servers of rerank send."""
    monkeypatch.setattr(ReplyReader, "_hand_over", None)
    outcome = read(PLAIN[name])
    assert outcome == read_by_h11(PLAIN[name])
    assert outcome.is_reusable


ODD = {
    "bare newlines": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    "informational": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN["length"],
    "upgrade": OK + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nhi",
    "folded": OK + b"x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nhi",
    "latin-1": OK + b"x-a: \xe9\r\ncontent-length: 2\r\n\r\nhi",
    "until the end": OK + b"x-a: 1\r\n\r\nhi",
    "both framings": OK + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "length twice": OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\nhi",
    "large head": OK + b"x-a: %b\r\ncontent-length: 2\r\n\r\nhi" % (b"a" * MAX_PLAIN_HEAD_BYTES),
    "extension": OK + b"transfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
    "trailer": OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-a: 1\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_replies_are_handed_to_h11(name, monkeypatch):
    """It gets all bytes, and decides."""
    handed = []
    hand_over = ReplyReader._hand_over
    monkeypatch.setattr(ReplyReader, "_hand_over", lambda self, data: handed.append(data) or hand_over(self, data))
    outcome = check(ODD[name], iter([(30,), (len(ODD[name]) - 1,)]))
    assert outcome.body in (b"hi", b"hello")
    assert handed


@pytest.mark.parametrize("n_over", [0, 1])
def test_the_largest_head_is_the_same_for_every_cut(n_over):
    """One byte more is an error, in one piece and in many."""
    start = OK + b"content-length: 2\r\nx-a: "
    data = start + b"a" * (MAX_BLOCK_BYTES + 1 + n_over - len(start) - 4) + b"\r\n\r\nhi"
    for cuts in ((), (10,), (MAX_PLAIN_HEAD_BYTES + 1,), (len(data) - 3,), tuple(range(1000, len(data), 1000))):
        assert read(data, cuts).status == (0 if n_over else 200), cuts


@pytest.mark.parametrize("part", [b"1;a\r\nx\r\n", b"1\r\nx\r\n"])
def test_many_bytes_and_many_pieces_are_too_large(part):
    """The bytes on the wire are counted, and so are the pieces that h11 has to read."""
    reader = ReplyReader(max_bytes=100_000)
    reader.feed(OK + b"transfer-encoding: chunked\r\n\r\n")

    def feed_all():
        for _ in range(200):
            reader.feed(part * 1000)

    with pytest.raises(ResponseTooLargeError):
        feed_all()
