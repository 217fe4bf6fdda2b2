"""Check that the server of this container runs: ``python -m cohere_rerank.server.probe``.

It asks ``/health`` on CO_SERVER_PORT (default: 8000) of this machine. The exit code is 0 if the reply is 200, and 1
otherwise. An image then needs no curl.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

_TIMEOUT_S = 2.0


def is_healthy(port: int) -> bool:
    """Return whether a server answers on this port of this machine. Proxies of the environment are not used."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_healthy(int(os.environ.get("CO_SERVER_PORT") or 8000)))
