"""Check the network path to a server in three steps: name, connection, TLS."""

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
    """Look up the name, connect, and do the TLS handshake. Stop at the first failure.

    Args:
        url: An http or https address.
        timeout_s: The limit of each step except the look-up: the resolver of the system has no timeout.
    """
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(f"{host}:{port}"):
        shown = proxy.rpartition("@")[2].rpartition("//")[2]
        yield Finding("connect", "ok", f"through the proxy {shown}, from {url.scheme.upper()}_PROXY")
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a valid name"
        yield Finding("dns", "fail", f"{host}: {reason}", "check the spelling, and the name server of this machine")
        return
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    yield Finding("dns", "ok", f"{host} has the address {', '.join(addresses)}")
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
        return "no server listens on this port: start the server, or correct the port"
    if isinstance(error, TimeoutError):
        return "the server does not respond: check for a firewall, or set HTTPS_PROXY if a proxy is needed"
    return "check the address and the network of this machine"


def _handshake(connection: socket.socket, host: str) -> Finding:
    import httpx

    started = time.monotonic()
    try:
        with httpx.create_ssl_context().wrap_socket(connection, server_hostname=host) as secured:
            certificate = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        advice = "if your own authority signed it, set SSL_CERT_FILE to the file of that authority"
        return Finding("tls", "fail", f"the certificate is not trusted: {error.verify_message}", advice)
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        advice = "check the port; a server without TLS needs http://"
        return Finding("tls", "fail", f"the TLS handshake failed: {reason}", advice)
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / _DAY_S
    message = f"{version}, the certificate expires in {days:.0f} days ({_ms(started)})"
    if days < _EXPIRES_SOON_DAYS:
        return Finding("tls", "warn", message, "renew the certificate")
    return Finding("tls", "ok", message)


def _ms(started: float) -> str:
    return f"{1000 * (time.monotonic() - started):.0f} ms"
