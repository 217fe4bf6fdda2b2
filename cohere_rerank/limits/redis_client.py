"""A client of Redis that bounds the size and the time of each reply, and that shows no password."""

from __future__ import annotations

import time
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from cohere_rerank._extras import importing
from cohere_rerank._secrets import hide
from cohere_rerank.errors import InvalidRequestError

__all__ = ["ReplyError", "describe_failure", "new_client", "redis_module"]

_MAX_REPLY_BYTES = 64 * 1024  # a reply of the scripts has two numbers, and an error is one line
_MAX_REPLY_TIMEOUTS = 2  # time of a whole reply, as a multiple of timeout_s: a server may send byte by byte
_MAX_DESCRIPTION = 200  # characters of an error that Redis has written


class RedisAddress(Protocol):
    """Where a Redis is. Frames hold this object and not the URL, which may contain a password."""

    @property
    def url(self) -> str: ...

    @property
    def timeout_s(self) -> float: ...


class ReplyError(Exception):
    """Redis sent a reply that the scripts never make."""


def new_client(server: RedisAddress) -> Any:
    """Return a client for the server. It connects when it is first used.

    Raises:
        InvalidRequestError: The URL is not valid.
    """
    redis = redis_module()
    try:
        pool = redis.ConnectionPool.from_url(
            server.url,
            socket_timeout=server.timeout_s,
            socket_connect_timeout=server.timeout_s,
            # One retry: an idle connection may have been closed. More retries would keep callers waiting.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
        )
    except Exception:  # noqa: BLE001 - the message may quote a part of the password
        pool = None
    if pool is None:
        raise InvalidRequestError(
            "the url of a RedisStore is not valid; it must have the form redis://user:password@host:port/db, with "
            "special characters of the password percent-encoded"
        )
    pool.connection_class = _bounded(pool.connection_class, _MAX_REPLY_TIMEOUTS * server.timeout_s)
    return redis.Redis(connection_pool=pool)


def describe_failure(server: RedisAddress, error: Exception) -> str:
    """Return one short line about a failure, without the password and without its frames."""
    password = urlsplit(server.url).password
    text = " ".join(str(error).split())
    for secret in {password, None if password is None else unquote(password)} - {None, ""}:
        text = hide(text, secret, "[your password]").replace(str(secret), "[your password]")
    return f"{type(error).__name__}: {text[:_MAX_DESCRIPTION]}"


def redis_module() -> Any:
    """Import redis.

    Raises:
        ImportError: The extra is not installed.
    """
    with importing("redis", "A limit in Redis"):
        import redis.backoff
        import redis.retry
    return redis


def _bounded(connection_class: type[Any], timeout_s: float) -> type[Any]:
    """Return a connection class that bounds each reply of its socket."""

    class BoundedConnection(connection_class):  # type: ignore[misc]
        def _connect(self) -> _BoundedSocket:
            return _BoundedSocket(super()._connect(), timeout_s)

        def read_response(self, *arguments: Any, **options: Any) -> Any:
            if isinstance(self._sock, _BoundedSocket):
                self._sock.begin_reply()
            return super().read_response(*arguments, **options)

    return BoundedConnection


class _BoundedSocket:
    """A socket that refuses to read more of one reply than is allowed."""

    def __init__(self, sock: Any, timeout_s: float) -> None:
        self._socket = sock
        self._timeout_s = timeout_s
        self.begin_reply()

    def begin_reply(self) -> None:
        """Allow the bytes and the time of one more reply."""
        self._n_bytes = _MAX_REPLY_BYTES
        self._end_s = time.monotonic() + self._timeout_s

    def recv(self, n_bytes: int, *flags: int) -> bytes:
        """Read as `socket.recv` does."""
        data: bytes = self._socket.recv(n_bytes, *flags)
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any, *arguments: int) -> int:
        """Read as `socket.recv_into` does."""
        n_bytes: int = self._socket.recv_into(buffer, *arguments)
        self._count(n_bytes)
        return n_bytes

    def _count(self, n_bytes: int) -> None:
        self._n_bytes -= n_bytes
        if self._n_bytes < 0:
            raise ReplyError(f"a reply is longer than {_MAX_REPLY_BYTES} bytes")
        if time.monotonic() > self._end_s:
            raise ReplyError(f"a reply took longer than {self._timeout_s:g} s")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
