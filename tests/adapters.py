"""What the tests of both clients share besides the fixture ``make_either``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import httpx


def settle(face: Any, value: Any) -> Any:
    """What a call on either client gives; an awaitable is awaited on the face's own loop."""
    return face._loop.run_until_complete(value) if inspect.isawaitable(value) else value


def is_async(face: Any) -> bool:
    """Whether the face shows an AsyncClientV2."""
    return hasattr(face.client, "aclose")


def own_client(make_either: Callable[..., Any], handler: Callable[..., Any], **options: Any) -> Any:
    """A face whose client brings its own httpx client, answered by a function of the request."""
    probe = make_either(base_url="local:")
    kind = httpx.AsyncClient if is_async(probe) else httpx.Client
    client = kind(transport=httpx.MockTransport(handler), **options.pop("httpx_options", {}))
    return make_either(httpx_client=client, **options)
