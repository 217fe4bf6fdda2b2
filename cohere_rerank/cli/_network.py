"""The way to a server, one step after the other: name, connection, TLS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import SplitResult
from urllib.request import getproxies, proxy_bypass

from ._probes import Finding

__all__ = ["check_connection"]

_DAY_S = 86_400.0
_EXPIRES_SOON_DAYS = 14


def check_connection(url: SplitResult, timeout_s: float) -> Iterator[Finding]:
    """Look the name up, connect, and shake hands; the first failure is the last finding.

    Args:
        url: An http or https address.
        timeout_s: For each step but the look-up: the system's resolver takes none.
    """
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(f"{host}:{port}"):
        shown = proxy.rpartition("@")[2].rpartition("//")[2]
        yield Finding("connect", "ok", f"by way of the proxy {shown}, as {url.scheme.upper()}_PROXY says")
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no valid name"
        yield Finding("dns", "fail", f"{host}: {reason}", "check the spelling, and that this machine has a name server")
        return
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    yield Finding("dns", "ok", f"{host} is {', '.join(addresses)}")
    yield from _connect(url.scheme == "https", host, port, timeout_s)


def _connect(is_tls: bool, host: str, port: int, timeout_s: float) -> Iterator[Finding]:
    started = time.monotonic()
    try:
        connection = socket.create_connection((host, port), timeout_s)
    except OSError as error:
        yield Finding("connect", "fail", f"port {port}: {error.strerror or error}", _connect_advice(error))
        return
    with connection:
        yield Finding("connect", "ok", f"port {port} ({_ms(started)})")
        if is_tls:
            yield _handshake(connection, host)


def _connect_advice(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there: start the server, or correct the port"
    if isinstance(error, TimeoutError):
        return "nothing comes back: look for a firewall, or a proxy to name in HTTPS_PROXY"
    return "check the address and this machine's network"


def _handshake(connection: socket.socket, host: str) -> Finding:
    import httpx

    started = time.monotonic()
    try:
        with httpx.create_ssl_context().wrap_socket(connection, server_hostname=host) as secured:
            certificate = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        advice = "if an authority of your own signed it, name its file in SSL_CERT_FILE"
        return Finding("tls", "fail", f"the certificate is refused: {error.verify_message}", advice)
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        return Finding("tls", "fail", f"no TLS: {reason}", "is this the right port? A server without TLS is http://")
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / _DAY_S
    message = f"{version}, certificate valid for {days:.0f} more days ({_ms(started)})"
    if days < _EXPIRES_SOON_DAYS:
        return Finding("tls", "warn", message, "let it be renewed")
    return Finding("tls", "ok", message)


def _ms(started: float) -> str:
    return f"{1000 * (time.monotonic() - started):.0f} ms"
