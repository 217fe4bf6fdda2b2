"""Connect a blocking socket, and the rules of connecting that asyncio shares."""

from __future__ import annotations

import contextlib
import socket

from .connection_errors import ConnectError, ConnectTimeout
from .outgoing import expires_at, remaining_until

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from typing import Any

# Seconds after which the next address is tried: the longest delay between attempts in RFC 8305, section 5.
_NEXT_ADDRESS_AFTER_S = 2.0


def connect(host: str, port: int, timeout_s: float | None, tls: ssl.SSLContext | None) -> socket.socket:
    """Connect to the first address that answers, within *timeout_s* seconds in total, TLS included."""
    expires_s = expires_at(timeout_s)
    with connect_errors(host, port):
        sock = _connect_first(host, port, expires_s)
        try:
            set_options(sock)
            if tls is not None:
                sock.settimeout(remaining_until(expires_s))
                sock = tls.wrap_socket(sock, server_hostname=host)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
    return sock


def _connect_first(host: str, port: int, expires_s: float | None) -> socket.socket:
    addresses = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    for n_left, (family, kind, proto, _, address) in with_remaining(addresses):
        try:
            sock = socket.socket(family, kind, proto)
            try:
                sock.settimeout(per_address_timeout(remaining_until(expires_s), n_left))
                sock.connect(address)
            except BaseException:
                sock.close()
                raise
            return sock
        except OSError:
            if n_left == 1:
                raise
    raise OSError("the host name has no address")


def per_address_timeout(left_s: float | None, n_addresses: int) -> float | None:
    """Return the seconds to try one of *n_addresses* that are left, so that a dead one leaves time for the others."""
    if n_addresses == 1:
        return left_s
    return _NEXT_ADDRESS_AFTER_S if left_s is None else min(left_s / n_addresses, _NEXT_ADDRESS_AFTER_S)


def with_remaining(addresses: list[Any]) -> Iterator[tuple[int, Any]]:
    """Yield each address with the number of addresses that are left, itself included."""
    return zip(range(len(addresses), 0, -1), addresses)


@contextlib.contextmanager
def connect_errors(host: str, port: int) -> Iterator[None]:
    """Raise the failures of connecting as errors of an exchange that name the address."""
    try:
        yield
    except TimeoutError as error:
        raise ConnectTimeout(f"{host}:{port}: {str(error) or 'timed out'}") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: IDNA does not accept the host name
        raise ConnectError(f"{host}:{port}: {error}") from error


def set_options(sock: socket.socket) -> None:
    """Send small packets at once, and let the system notice a peer that has gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
