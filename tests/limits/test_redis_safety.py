"""A Redis that replies wrongly, or that was poisoned: typed errors, bounded replies, no password, and it recovers."""

from __future__ import annotations

import socket
import threading
import traceback
from contextlib import contextmanager

import pytest

from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError
from cohere_rerank.limits import RateLimit, RedisStore
from tests.limits.redis_server import RedisServer, needs_redis_server

redis = pytest.importorskip("redis")

PACED = RateLimit(requests=10, period_s=1, burst=5)
WINDOW = RateLimit(requests=10, period_s=1)
BOTH = pytest.mark.parametrize("limit", [PACED, WINDOW], ids=["paced", "window"])
PASSWORD = "hunter2hunter2"


@contextmanager
def replying(reply, *, url="redis://127.0.0.1:{port}/0"):
    """Yield a store whose server answers each command with these bytes (or with as many of them as it can send)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection):
            with connection:
                try:
                    while connection.recv(65536):
                        for piece in reply() if callable(reply) else [reply]:
                            connection.sendall(piece)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield RedisStore(url.format(port=listener.getsockname()[1]), "k", timeout_s=0.2)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b":7\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*1\r\n:1\r\n",
        b"*3\r\n:1\r\n:1\r\n:1\r\n",
        b"*2\r\n+a\r\n+b\r\n",
        b"*2\r\n$-1\r\n:1\r\n",
        b"*2\r\n:-5\r\n:1\r\n",
        b"*2\r\n:0\r\n:0\r\n",
        b"*2\r\n:0\r\n:99999999999\r\n",
        b"*2\r\n:99999999999999999999\r\n:1\r\n",
        b"*2\r\n*0\r\n*0\r\n",
        b":x\r\n",
        b"$x\r\n",
        b"$99999999999999\r\n",
        b"*99999999999999\r\n",
        b"*1\r\n" * 5000 + b":1\r\n",
        b"-ERR no\r\n",
        b"-WRONGPASS no\r\n",
        b"-\xff\xfe\r\n",
        b"+" + b"x" * 300_000 + b"\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x01\x02\r\n",
        b"\r\n",
    ],
)
def test_a_wrong_reply_is_a_typed_error(reply):
    """Of every type and size, from a first reply on."""
    with replying(reply) as store:
        with pytest.raises(RateLimitStoreError, match="never answered"):
            store.acquire(PACED, 0.0)


def test_a_reply_without_an_end_is_cut_off():
    """An endless reply costs at most 64 KiB, however fast it comes."""
    n_sent = 0

    def endless():
        nonlocal n_sent
        yield b"*1000000000\r\n"
        while True:
            n_sent += 1000
            yield b":1\r\n" * 250

    with replying(endless) as store, pytest.raises(RateLimitStoreError):
        store.acquire(PACED, 0.0)
    assert n_sent < 50_000_000  # what the system's buffers of two connections take, and not all that could be sent


def frames_of(error):
    """Return the local variables of all frames but ours, along the chain of causes and contexts."""
    found, errors = [], [error]
    while errors:
        one = errors.pop()
        frames = [frame for frame, _ in traceback.walk_tb(one.__traceback__)]
        found += [frame.f_locals for frame in frames if frame.f_code.co_filename != __file__]
        errors += [other for other in (one.__cause__, one.__context__) if other is not None]
    return found


@pytest.mark.parametrize("reply", [b"-WRONGPASS of " + PASSWORD.encode() + b"\r\n", b"-ERR\r\n", b"+x\r\n"])
def test_no_password_is_in_a_message_or_in_a_frame(reply):
    """Crash reporters send the local variables of every frame of every chained exception."""
    with replying(reply, url="redis://user:" + PASSWORD + "@127.0.0.1:{port}/0") as store:
        with pytest.raises(RateLimitStoreError) as caught:
            store.acquire(PACED, 0.0)
    assert PASSWORD not in str(caught.value)
    assert frames_of(caught.value)
    assert PASSWORD not in repr(frames_of(caught.value))


@pytest.mark.parametrize(
    "url", [f"redis://user:a/{PASSWORD}@host/0", f"redis://host:{PASSWORD}/0", f"redis://host/0?db={PASSWORD}"]
)
def test_an_invalid_url_is_refused_without_showing_it(url):
    """A password with a slash makes the port invalid, and Python's own error would quote it."""
    with pytest.raises(InvalidRequestError, match="url of a RedisStore is not valid") as caught:
        RedisStore(url, "k")
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None


POISONS = {
    "text": lambda client, key: client.set(key, "not a number"),
    "number": lambda client, key: client.set(key, 10**18),
    "list": lambda client, key: client.rpush(key, *["x"] * 12),
    "hash": lambda client, key: client.hset(key, "a", "b"),
    "members": lambda client, key: client.zadd(key, {f"member {n}": 1e18 for n in range(50)}),
    "endless": lambda client, key: client.set(key, "", px=10**14),
}


@needs_redis_server
@BOTH
@pytest.mark.parametrize("kind", POISONS)
def test_a_poisoned_state_recovers(limit, kind):
    """A value of any type under the keys of a limit blocks it for its longest pause at most."""
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        for name in ("tat" if limit.burst else "sent", "pause", "members"):
            POISONS[kind](client, f"cohere-rerank:{{k}}:{name}")
        store = RedisStore(server.url, "k")
        assert store.acquire(limit, 0.0) <= limit.max_pause_s
        assert client.zcard("cohere-rerank:{k}:members") == 1
        assert limit.burst or client.pttl("cohere-rerank:{k}:pause") <= limit.max_pause_s * 1000


@needs_redis_server
def test_times_of_the_future_in_a_window_are_cut_once():
    """The wait for them gets shorter, and does not start again at each question."""
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        client.rpush("cohere-rerank:{k}:sent", *[10**18] * 12)
        store = RedisStore(server.url, "k")
        first_s = store.acquire(WINDOW, 0.0)
        assert 0 < first_s <= WINDOW.period_s + WINDOW.max_transit_s
        assert store.acquire(WINDOW, 0.0) < first_s
