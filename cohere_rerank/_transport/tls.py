"""The TLS settings of connections that trust the usual certificates."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def new_tls_context() -> ssl.SSLContext:
    """Return TLS settings with the certificates of SSL_CERT_FILE or SSL_CERT_DIR, or else those of certifi.

    These are the settings of httpx, made without its import, which takes longer than a first call.

    Raises:
        OSError: SSL_CERT_FILE cannot be read.
    """
    import ssl

    if path := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=path)
    if folder := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    import certifi

    return ssl.create_default_context(cafile=certifi.where())
