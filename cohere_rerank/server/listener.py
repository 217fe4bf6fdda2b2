"""The socket that the server listens on, and how many connections it accepts."""

from __future__ import annotations

import functools
import logging
import os
import socket
import sys
from collections.abc import Sequence

_log = logging.getLogger("cohere_rerank.server")
_ON_THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how a browser here reaches all addresses
_MAX_CONNECTIONS = 4096
_MIN_CONNECTIONS = 8
_MAX_BACKLOG = 2048
_RESERVED_DESCRIPTORS = 64  # for log, event loop, model files, metrics files and connections to an upstream


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address and does not listen yet.

    Raises:
        OSError: This machine does not have the address, or another program uses it. The message names the address.
    """
    # asyncio sends packets without a delay only if the socket names the protocol.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":  # on Windows the option would let two programs share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, ValueError, OverflowError) as error:  # ValueError: the text cannot be a host name
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        address = _format_address(host, port)
        raise OSError(getattr(error, "errno", None), f"cannot listen on {address}: {reason}") from None
    return listener


def log_addresses(host: str, listeners: Sequence[socket.socket]) -> None:
    """Log where the server runs, with the port that the system chose if the port was 0."""
    for listener in listeners:
        port = listener.getsockname()[1]
        address = f"http://{_format_address(host, port)}"
        page = f"http://{_format_address(_ON_THIS_MACHINE.get(host, host), port)}/"
        text = f"running on {address}; try it in a browser at {page}, and press Ctrl-C to stop"
        _log.info("running on %s", address, extra={"text": text})


def _format_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@functools.cache
def max_connections() -> int:
    """Return the number of connections that this process can have, with a reserve of file descriptors."""
    return min(_MAX_CONNECTIONS, max(_free_descriptors() - accept_backlog(), _MIN_CONNECTIONS))


@functools.cache
def accept_backlog() -> int:
    """Return the number of connections that may wait to be accepted. asyncio accepts as many of them at once."""
    return min(_MAX_BACKLOG, max(_free_descriptors() // 2, _MIN_CONNECTIONS))


def _free_descriptors() -> int:
    most = _MAX_CONNECTIONS + _MAX_BACKLOG
    if sys.platform != "win32":  # Windows has no such limit
        import resource

        limit: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = most if limit == resource.RLIM_INFINITY else limit - _RESERVED_DESCRIPTORS
    return most
