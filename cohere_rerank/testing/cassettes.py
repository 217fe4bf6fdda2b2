"""Records real traffic once and replays it in every test, with vcrpy's cassettes and without secrets.

vcrpy supports httpx's transports, but not the transports of our clients. While a cassette is in use, our clients send
through httpx's transports.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any, Literal

import httpx

from cohere_rerank._extras import importing
from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from cohere_rerank.errors import InvalidRequestError

from .redaction import Redaction

__all__ = ["cassette"]

Record = Literal["once", "none", "new_episodes", "all"]
_MODES = ("once", "none", "new_episodes", "all")
_MATCHED = ("method", "scheme", "host", "port", "path", "query")


@contextmanager
def cassette(path: str | PathLike[str], *, record: Record = "once", redact_texts: bool = False) -> Iterator[Any]:
    """Record the requests and responses inside the block, or replay them.

    Works for the clients of this package, sync or async, created before or inside the block, and for the official
    client. Does not work for ``local:``, which sends nothing. The cassette keeps only the headers that a replay needs.
    Keys are removed from headers, addresses and bodies.

    Args:
        path: The cassette, a YAML file.
        record: ``"once"``: record if the file does not exist, otherwise replay, and reject other requests.
            ``"none"``: only replay, for CI. ``"new_episodes"``: replay, and record other requests.
            ``"all"``: record everything again. Default: ``"once"``.
        redact_texts: Whether to remove queries, documents and other texts from the bodies. A fingerprint of all texts
            remains, so that a replay detects other texts. Default: False.

    Yields:
        vcrpy's ``Cassette``. Its ``play_count`` is the number of replayed responses.

    Raises:
        ImportError: The extra is not installed.
        vcr.errors.CannotOverwriteExistingCassetteException: The cassette does not have the request. The client's call
            raises it.
    """
    with importing("testing", "A cassette"):
        import vcr
    if record not in _MODES:
        raise InvalidRequestError(f"record must be one of {', '.join(_MODES)}, got {record!r}")
    redaction = Redaction(texts=redact_texts)
    recorder = vcr.VCR(
        record_mode=vcr.record_mode.RecordMode(record),
        before_record_request=redaction.request,
        before_record_response=redaction.response,
        decode_compressed_response=True,
        custom_patches=_patches(),
    )
    recorder.register_matcher("rerank body", _same_body)
    with _quiet_vcr_log(), recorder.use_cassette(fspath(path), match_on=(*_MATCHED, "rerank body")) as used:
        yield used


def _patches() -> tuple[tuple[type, str, Any], ...]:
    tls = functools.cache(httpx.create_ssl_context)  # cached, because it takes 25 ms

    def verify(request: httpx.Request) -> Any:
        return tls() if request.url.scheme == "https" else False

    def handle_request(_self: PooledTransport, request: httpx.Request) -> httpx.Response:
        with httpx.HTTPTransport(verify=verify(request)) as transport:
            return transport.handle_request(request)

    async def handle_async_request(_self: AsyncPooledTransport, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncHTTPTransport(verify=verify(request)) as transport:
            return await transport.handle_async_request(request)

    return (
        (PooledTransport, "handle_request", handle_request),
        (AsyncPooledTransport, "handle_async_request", handle_async_request),
    )


def _same_body(sent: Any, recorded: Any) -> None:
    """Compare the bodies as data. The message names the fields; vcrpy's own message would show whole bodies."""
    ours, theirs = Redaction.fields(sent.body), Redaction.fields(recorded.body)
    other = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    assert not other, f"the bodies differ in {', '.join(other)}"


@contextmanager
def _quiet_vcr_log() -> Iterator[None]:
    """Keep vcrpy from logging replies before they are redacted."""
    log = logging.getLogger("vcr")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
