"""The proxies that the environment sets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import getproxies

import httpx

from cohere_rerank.errors import InvalidRequestError

_VARIABLES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def has_proxy() -> bool:
    """Return whether the environment (or the system, on Windows and macOS) sets a proxy. NO_PROXY alone does not."""
    proxies = getproxies()
    return any(scheme in proxies for scheme in ("http", "https", "all"))


@contextmanager
def valid_settings() -> Iterator[None]:
    """Raise an error that names the environment, not base_url. It shows no value, because a value may be a password."""
    try:
        yield
    except (ValueError, httpx.InvalidURL) as error:  # ValueError: an unknown scheme, or a byte that is not UTF-8
        names = sorted(name for name in os.environ if name.upper() in _VARIABLES)
        reason = type(error).__name__ if isinstance(error, UnicodeError) else str(error).partition(":")[0]
        raise InvalidRequestError(
            f"the proxy settings in the environment are not valid ({reason}); check {', '.join(names) or 'the system'}"
        ) from None
