"""The proxy and the trusted certificates of a client, and the proxies that the environment sets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cohere_rerank._addresses import shown_proxy
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    import ssl

    from cohere_rerank._settings import Config

_VARIABLES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def has_proxy() -> bool:
    """Return whether the environment (or the system, on Windows and macOS) sets a proxy. NO_PROXY alone does not."""
    if sys.platform not in ("darwin", "win32") and not any(name.lower().endswith("_proxy") for name in os.environ):
        return False  # most programs; the import below takes 10 ms
    from urllib.request import getproxies

    proxies = getproxies()
    return any(scheme in proxies for scheme in ("http", "https", "all"))


def proxy_for_message(proxy: str | None) -> str | None:
    """Return how an error names the proxy in use, without its password; None if there is none."""
    if proxy is not None:
        return f"the proxy {shown_proxy(proxy)}"
    return "the proxy from the environment" if has_proxy() else None


def tls_context_of(config: Config) -> ssl.SSLContext | None:
    """Return the TLS settings that ``verify=`` asks for, or None for the default.

    Raises:
        InvalidRequestError: The certificates cannot be read.
    """
    verify = config.verify
    if verify is None or verify is True:
        return None
    import ssl

    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is False:
        import httpx

        return httpx.create_ssl_context(verify=False)
    path = os.fspath(verify)
    try:
        return ssl.create_default_context(**{"capath" if os.path.isdir(path) else "cafile": path})  # noqa: PTH112
    except OSError as error:  # ssl.SSLError is one
        raise InvalidRequestError(
            f"verify names {path!r}, which contains no certificates that can be read ({error}); pass a PEM file"
        ) from None


@contextmanager
def valid_settings() -> Iterator[None]:
    """Raise an error that names the environment, not base_url. It shows no value, because a value may be a password."""
    import httpx

    try:
        yield
    except (ValueError, httpx.InvalidURL) as error:  # ValueError: an unknown scheme, or a byte that is not UTF-8
        names = sorted(name for name in os.environ if name.upper() in _VARIABLES)
        reason = type(error).__name__ if isinstance(error, UnicodeError) else str(error).partition(":")[0]
        invalid = InvalidRequestError(
            f"the proxy settings in the environment are not valid ({reason}); check {', '.join(names) or 'the system'}"
        )
        invalid.is_from_environment = True
        raise invalid from None
