"""The clients of httpx that the official client has names for."""

from __future__ import annotations

from typing import Any

import httpx

from cohere_rerank._extras import importing
from cohere_rerank._settings import DEFAULT_TIMEOUT_S


class DefaultAsyncHttpxClient(httpx.AsyncClient):
    """A plain ``httpx.AsyncClient`` with the official client's name and timeout. It takes the arguments of httpx."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("timeout", DEFAULT_TIMEOUT_S)
        super().__init__(**kwargs)


def DefaultAioHttpClient(**kwargs: Any) -> httpx.AsyncClient:  # noqa: N802 - the official name of a class
    """Return an ``httpx.AsyncClient`` that sends through aiohttp, for programs that already use it.

    Use it as ``AsyncClientV2(httpx_client=DefaultAioHttpClient())``. Keyword arguments are those of httpx.

    Raises:
        ImportError: The extra is not installed.
    """
    with importing("aiohttp", "DefaultAioHttpClient"):
        from httpx_aiohttp import HttpxAiohttpClient
    kwargs.setdefault("timeout", DEFAULT_TIMEOUT_S)
    client: httpx.AsyncClient = HttpxAiohttpClient(**kwargs)
    return client
