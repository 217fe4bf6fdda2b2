"""No frame of a failure has the head of the request in its local variables, as error reporters print them."""

from __future__ import annotations

import asyncio
import traceback
from types import SimpleNamespace

import pytest

from cohere_rerank._transport.connection_errors import ExchangeError, LocalProtocolError
from cohere_rerank._transport.connections import ThreadConnections
from cohere_rerank._transport.loop_connections import LoopConnections
from cohere_rerank._transport.outgoing import OutgoingRequest, Timeouts
from cohere_rerank._transport.request_head import RequestHead
from cohere_rerank._transport.whole_reply import WholeReply
from tests.fake_server import Server, hang, hang_up, raw, reset, truncated
from tests.transport.request_helpers import silent_port

KEY = "sk-0123-a-key-of-a-user"
FAILURES = {
    "hang up": hang_up(),
    "reset": reset("start"),
    "reset in the body": reset("body"),
    "truncated": truncated(),
    "no answer": hang(),
    "no HTTP": raw(b"220 mail.invalid ESMTP\r\n\r\n"),
}


def request_to(port: int, body: bytes = b"{}", scheme: str = "http") -> OutgoingRequest:
    head = f"POST /v2/rerank HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\ncontent-length: ".encode()
    return OutgoingRequest((scheme, "127.0.0.1", port), head, body, Timeouts(0.3, 0.3, 0.3, 0.3))


def failure_of(kind: str, request: OutgoingRequest) -> BaseException:
    """Send the request, and return the error with all of its frames."""
    if kind == "sync":
        connections = ThreadConnections()
        with pytest.raises(ExchangeError) as caught:
            connections.exchange(request, WholeReply(1000, 100_000))
        connections.close()
    else:
        with pytest.raises(ExchangeError) as caught:
            asyncio.run(LoopConnections().exchange(request, WholeReply(1000, 100_000)))
    return caught.value


def check_frames(error: BaseException | None) -> None:
    """Look at the local variables in all frames, as text and as bytes."""
    n_frames = 0
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                n_frames += 1
                assert KEY not in "".join(map(repr, frame.f_locals.values())), frame
        error = error.__cause__ or error.__context__
    assert n_frames


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", FAILURES)
def test_no_frame_shows_the_head_after_a_reply_that_fails(server, kind, name):
    """The frames of this package, of asyncio and of ssl."""
    server.default = FAILURES[name]
    check_frames(failure_of(kind, request_to(server.port)))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_no_frame_shows_the_head_while_it_is_written(kind):
    """The server does not read, or the port is closed, or TLS fails."""
    with silent_port() as (url, _):
        port = int(url.rpartition(":")[2])
        check_frames(failure_of(kind, request_to(port, bytes(20_000_000))))
    check_frames(failure_of(kind, request_to(port)))
    with Server(tls="self-signed") as server:
        check_frames(failure_of(kind, request_to(server.port, scheme="https")))


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\0"])
def test_no_frame_shows_a_key_that_cannot_be_sent(key):
    """The error names the header, not its value."""
    config = SimpleNamespace(rerank_url="http://127.0.0.1:1/rerank", client_name=None)
    call = SimpleNamespace(headers={}, params=[], trace=SimpleNamespace(headers={}))
    part = SimpleNamespace(dialect=None, call=call)
    with pytest.raises(LocalProtocolError, match="'authorization' has characters") as caught:
        RequestHead(config, part, _Hidden(key))
    check_frames(caught.value)


class _Hidden:
    """A key whose repr shows nothing, as that of the settings."""

    is_signer = False

    def __init__(self, value: str) -> None:
        self.value = value
