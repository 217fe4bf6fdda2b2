"""Servers that several tests share. The tests are skipped without the extra."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")


@pytest.fixture(scope="session")
def open_server():
    """A server without keys, on the lexical scorer."""
    from tests.server.running_server import RunningServer

    with RunningServer(max_body_bytes=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def keyed_server():
    """A server that requires a key."""
    from tests.server.request_helpers import KEYS
    from tests.server.running_server import RunningServer

    with RunningServer(api_keys=KEYS) as running:
        yield running
