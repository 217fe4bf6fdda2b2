"""`serve` at a terminal: readable lines, and a graceful end when the terminal is closed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server.running_server import RERANK_BODY, TIMEOUT_S, ServeProgram, wait_until

pytest.importorskip("pty", reason="a terminal needs a POSIX system")
from tests.cli.terminal import TAKE_TERMINAL, read
from tests.server.test_program import LONG, WORKERS, in_thread

on_linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


class OnTerminal:
    """`serve` as the leader of a session on a pseudo-terminal, as a window of a desktop starts a program."""

    def __init__(self, *options: str) -> None:
        import pty

        self._ours, its = pty.openpty()
        command = [sys.executable, "-m", "cohere_rerank", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command], stdin=its, stdout=its, stderr=its, start_new_session=True
        )
        os.close(its)
        self.shown = ""
        self.read_until("Ctrl-C to stop")
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", self.shown)
        assert found, self.shown
        self.port = int(found[1])
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=TIMEOUT_S)
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            piece = read(self._ours)
            assert piece, self.shown
            self.shown += piece.decode()

    def type(self, letters: bytes) -> None:
        os.write(self._ours, letters)

    def close(self) -> None:
        os.close(self._ours)

    def end(self) -> int:
        """Wait for the end, and return the exit code. No process of the session may be left."""
        self.http.close()
        code = self.process.wait(TIMEOUT_S)
        wait_until(lambda: not is_alive(-self.process.pid))
        with socket.create_server(("127.0.0.1", self.port)):  # the port is free
            return code


def is_alive(process: int) -> bool:
    """Return whether a process, or one of a group (negative), is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@WORKERS
def test_it_shows_readable_lines_and_the_address_of_the_playground(workers):
    """A person sees where to go, each request on a line, and no JSON. Ctrl-C ends it."""
    started = OnTerminal("--workers", workers)
    page = f"http://127.0.0.1:{started.port}/"
    assert f"try it in a browser at {page}" in started.shown
    assert started.http.post("/v2/rerank", json=RERANK_BODY, headers={"x-request-id": "id-1"}).status_code == 200
    started.read_until("id-1")
    assert re.search(r"\d\d:\d\d:\d\d POST /v2/rerank 200 [\d.]+ ms  3 documents, local-lexical  id-1", started.shown)
    assert "{" not in started.shown
    assert "/health" not in started.shown
    assert "Started server process" not in started.shown
    started.type(b"\x03")
    assert started.end() == 130
    started.close()


@WORKERS
def test_a_closed_terminal_ends_it_gracefully(workers):
    """The request in flight gets its response, every process ends, and the port is free."""
    started = OnTerminal("--workers", workers)
    got = in_thread(lambda: httpx.post(f"http://127.0.0.1:{started.port}/v2/rerank", json=LONG, timeout=60))
    wait_until(lambda: "cohere_rerank_running 1.0" in started.http.get("/metrics").text)
    started.close()
    assert started.end() == 0
    wait_until(lambda: got)
    assert len(got[0].json()["results"]) == len(LONG["documents"])


@WORKERS
@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGQUIT], ids=["hup", "quit"])
def test_other_stop_signals_end_it_like_sigterm(workers, how):
    """The request in flight gets its response, and the exit code is 0."""
    started = ServeProgram("--workers", workers)
    got = in_thread(lambda: httpx.post(f"{started.url}/v2/rerank", json=LONG, timeout=60))
    wait_until(lambda: "cohere_rerank_running 1.0" in started.http.get("/metrics").text)
    assert started.stop(how) == 0
    wait_until(lambda: got)
    assert got[0].status_code == 200


@on_linux
@WORKERS
def test_nohup_keeps_it_running(workers):
    """A SIGHUP that was ignored before the start stays ignored, also in the workers."""
    started = ServeProgram("--workers", workers, ignored="HUP")
    wait_until(lambda: len(started.workers()) == (2 if workers == "2" else 0))
    os.killpg(started.process.pid, signal.SIGHUP)
    assert started.post().status_code == 200
    assert started.stop() == 0
