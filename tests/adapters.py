"""Helpers for tests that run with both clients, next to the fixture ``make_either``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import httpx


def resolve(adapter: Any, value: Any) -> Any:
    """Return the result of a call on either client. An awaitable runs on the adapter's event loop."""
    return adapter._loop.run_until_complete(value) if inspect.isawaitable(value) else value


def is_async(adapter: Any) -> bool:
    """Return whether the adapter holds an AsyncClientV2."""
    return hasattr(adapter.client, "aclose")


def client_with_handler(make_either: Callable[..., Any], handler: Callable[..., Any], **options: Any) -> Any:
    """Return an adapter whose client has its own httpx client. *handler* makes the response to each request."""
    probe = make_either(base_url="local:")
    kind = httpx.AsyncClient if is_async(probe) else httpx.Client
    client = kind(transport=httpx.MockTransport(handler), **options.pop("httpx_options", {}))
    return make_either(httpx_client=client, **options)
