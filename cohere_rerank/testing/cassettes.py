"""Record real traffic once, replay it in every test: vcrpy's cassettes, with everything secret taken out.

vcrpy knows httpx's transports and not the ones of our clients. While a cassette is in use, ours send through httpx's.
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
    """Record what clients send and receive inside the block, or replay it.

    Works for this package's clients, made before or inside of the block, blocking or not, and for the official one;
    not for ``local:``, where nothing is sent. Only what a replay needs is kept of headers; keys are taken out wherever
    they stand, also of bodies that quote them.

    Args:
        path: The cassette, a YAML file.
        record: ``"once"``: record if there is no file, else replay, and refuse a request that is not in it; ``"none"``:
            only replay, for CI; ``"new_episodes"``: replay, and add what is missing; ``"all"``: record anew.
        redact_texts: Keep no query, document or other text of a body, but a fingerprint of them all together, by which
            a replay notices other texts.

    Yields:
        vcrpy's ``Cassette``; its ``play_count`` says how many replies were replayed.

    Raises:
        ImportError: The extra is not installed.
        vcr.errors.CannotOverwriteExistingCassetteException: Out of the client's call: the cassette has no such request.
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
    with _silent(), recorder.use_cassette(fspath(path), match_on=(*_MATCHED, "rerank body")) as used:
        yield used


def _patches() -> tuple[tuple[type, str, Any], ...]:
    tls = functools.cache(httpx.create_ssl_context)  # once for each cassette: it costs 25 ms

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


def _same_body(asked: Any, recorded: Any) -> None:
    """Compare the bodies as data; the message names fields, where vcrpy's own shows whole bodies."""
    ours, theirs = Redaction.fields(asked.body), Redaction.fields(recorded.body)
    other = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    assert not other, f"the bodies differ in {', '.join(other)}"


@contextmanager
def _silent() -> Iterator[None]:
    """Keep vcrpy from logging replies, which may quote texts, before they are redacted."""
    log = logging.getLogger("vcr")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
