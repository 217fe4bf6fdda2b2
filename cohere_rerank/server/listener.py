"""The socket that the server listens on."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence

_log = logging.getLogger("cohere_rerank.server")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address and does not listen yet.

    Raises:
        OSError: This machine does not have the address, or another program uses it. The message names the address.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
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
        _log.info("running on http://%s", _format_address(host, listener.getsockname()[1]))


def _format_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
