"""Servers for the tests that need nothing special of them; absent without the extra."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")


@pytest.fixture(scope="session")
def open_server():
    """A server that all may call, on the lexical scorer; shared, so it keeps nothing between requests."""
    from tests.server.running_server import RunningServer

    with RunningServer(max_body_bytes=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def keyed_server():
    """A server that wants a key."""
    from tests.server.request_helpers import KEYS
    from tests.server.running_server import RunningServer

    with RunningServer(api_keys=KEYS) as running:
        yield running
