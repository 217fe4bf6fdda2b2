"""The TLS settings of connections that trust the usual certificates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def new_tls_context() -> ssl.SSLContext:
    """Return httpx's TLS settings, with the trusted certificates of SSL_CERT_FILE or SSL_CERT_DIR if one is set.

    Raises:
        OSError: SSL_CERT_FILE cannot be read.
    """
    import httpx

    if path := os.environ.get("SSL_CERT_FILE"):
        # httpx before 0.28 ignores a file that is missing, and trusts certificates that the user did not choose.
        Path(path).open("rb").close()
    return httpx.create_ssl_context()
