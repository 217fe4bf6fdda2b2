"""A redis-server for the tests, on a Unix socket in a temporary folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server")
needs_redis_server = pytest.mark.skipif(PROGRAM is None, reason="needs the program redis-server")


class RedisServer:
    """Runs within ``with``. It can be killed and started again, and is empty then."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(
            prefix="redis"
        )  # short: the path of a socket has at most about 100 characters
        self._socket = Path(self._folder.name, "s")
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._socket.unlink(missing_ok=True)
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--dir", self._folder.name]
        assert PROGRAM is not None
        self._process = subprocess.Popen([PROGRAM, *options], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "ready to accept connections" in line.lower():
                return
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        """Kill it, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        self._process = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        self._folder.cleanup()
