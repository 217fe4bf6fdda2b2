"""Checks the names by which clients address the server. Pure.

The owner of a web page can make its domain name lead to this machine (DNS rebinding). The requests of the page then
have that name in their Host header.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from .http import HttpError

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Return whether a host name or an IP address is a loopback address of this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_host(allowed: Collection[str] | None, host: str | None, origin: str | None) -> None:
    """Accept a request if its Host header, and its Origin header if it has one, name an allowed host.

    Args:
        allowed: The allowed hosts, in lower case and without ports. None: accept every request.
        host: The Host header.
        origin: The Origin header, which browsers send.

    Raises:
        HttpError: 421.
    """
    if allowed is None:
        return
    for header, name in (("Host", _host_of(f"//{host or ''}")), ("Origin", _host_of(origin) if origin else None)):
        if (header == "Host" or origin is not None) and name not in allowed and not _is_allowed_loopback(allowed, name):
            raise HttpError(
                421,
                f"the {header} header must name an allowed host ({', '.join(sorted(allowed))}); "
                "start the server with --allow-host to allow another one",
                {"connection": "close"},
            )


def _is_allowed_loopback(allowed: Collection[str], name: str | None) -> bool:
    return name is not None and "127.0.0.1" in allowed and is_loopback(name)


def _host_of(address: str) -> str | None:
    """Return the host of an address in lower case, without the dot that may end a DNS name."""
    try:
        host = urlsplit(address).hostname
    except ValueError:  # for example brackets without an address
        return None
    return None if host is None else host.rstrip(".")
