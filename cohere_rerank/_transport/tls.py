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
        CertificateLoadError: SSL_CERT_FILE cannot be read.
    """
    import ssl

    from .connection_errors import CertificateLoadError

    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        import certifi

        file = certifi.where()
    try:
        return ssl.create_default_context(cafile=file) if file else ssl.create_default_context(capath=folder)
    except OSError as error:
        raise CertificateLoadError(str(error)) from error
