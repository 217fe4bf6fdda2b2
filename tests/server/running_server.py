"""The server under test: the application in a thread, or the program in a process of its own."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from cohere_rerank.server import ServerSettings, create_app
from cohere_rerank.server.listener import bind
from cohere_rerank.server.run import uvicorn_options

RERANK_BODY = {"model": "m", "query": "green tea", "documents": ["black coffee", "green tea", "tea"]}
JSON = {"content-type": "application/json"}
TIMEOUT_S = 20.0


def wait_until(is_true):
    """Wait until a condition of another thread or process is true. Fail if it stays false."""
    end = time.monotonic() + TIMEOUT_S
    while not is_true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


class RunningServer:
    """A real uvicorn with the application, and an httpx client for it."""

    def __init__(self, **settings: Any) -> None:
        self.app = create_app(ServerSettings(**settings))
        options = {**uvicorn_options("127.0.0.1", 0), "log_config": None}  # the tests read the records
        self._server = uvicorn.Server(uvicorn.Config(self.app, lifespan="on", **options))
        self._socket = bind("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self.http = httpx.Client(base_url=self.url, timeout=TIMEOUT_S)

    def __enter__(self) -> RunningServer:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def connections(self) -> list[Any]:
        """Return the open connections of the server."""
        return list(self._server.server_state.connections)

    def post(self, path: str = "/v2/rerank", body: Any = RERANK_BODY, **headers: str) -> httpx.Response:
        """POST the request: a value as JSON, bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(path, content=content, headers={**JSON, **headers})

    def raw(self, sent: bytes) -> bytes:
        """Send these bytes on a new connection, and read until the server closes it."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def metric(self, name: str) -> float:
        """Return a number from /metrics, summed over its labels."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[ {{]", line))


class BlockingScorer:
    """A scorer that blocks every request until `go` is set. It records the queries."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.queries: list[str] = []

    def __call__(self, query, documents):
        self.queries.append(query)
        assert self.go.wait(TIMEOUT_S)
        return [1 / (1 + index) for index in range(len(documents))]


def command_line(process: int) -> bytes:
    """Return the command line of a process (Linux), or nothing if the process has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def workers_of(process: int) -> list[int]:
    """Return the process ids of a supervisor's workers (Linux)."""
    tasks = Path(f"/proc/{process}/task")
    children = {int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()}
    return sorted(child for child in children if b"spawn_main" in command_line(child))


class ServeProgram:
    """``cohere-rerank serve`` in a process of its own, on a free port. A thread reads its log."""

    def __init__(self, *options: str, limit: int | None = None, ignored: str = "", **environment: str) -> None:
        command = [sys.executable, "-m", "cohere_rerank", "serve", "--port", "0", *options]
        if limit is not None:  # of file descriptors
            command = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *command]
        if ignored:  # a signal
            command = ["sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh", *command]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CO_")}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**kept, **environment},
            text=True,
            start_new_session=True,  # its workers can be ended with it
        )
        self.lines: list[str] = []
        self._may_read = threading.Event()
        self._may_read.set()
        self._found: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._found.get(timeout=TIMEOUT_S)
        self.http = httpx.Client(base_url=self.url, timeout=TIMEOUT_S)
        wait_until(self._answers)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._may_read.wait()
            self.lines.append(line)
            found = re.search(r"running on (http://[\d.]+:\d+)", line)
            if found:
                self._found.put(found[1])

    def stop_reading(self) -> None:
        """Leave the rest of the log in its pipe, until the program ends."""
        self._may_read.clear()

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.lines
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Stop the program with a signal, and return its exit code."""
        self.http.close()
        self.process.send_signal(how)
        try:
            code = self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self._may_read.set()
        self._reader.join(TIMEOUT_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def post(self, body: Any = RERANK_BODY, **headers: str) -> httpx.Response:
        """POST a request on a connection of its own, so that any worker may get it."""
        with httpx.Client(base_url=self.url, timeout=TIMEOUT_S) as client:
            return client.post("/v2/rerank", json=body, headers=headers)

    def workers(self) -> list[int]:
        """Return the process ids of its workers (Linux)."""
        return workers_of(self.process.pid)

    def records(self) -> list[dict[str, Any]]:
        """Return its log. Each line must be JSON."""
        return [json.loads(line) for line in self.lines]


@contextmanager
def program(*options: str, limit: int | None = None, **environment: str) -> Iterator[ServeProgram]:
    running = ServeProgram(*options, limit=limit, **environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
