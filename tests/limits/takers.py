"""Several processes that take sends from one store at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

TAKER = str(Path(__file__).with_name("taker.py"))


class Takers:
    """So many processes of ``taker.py``; ``start`` lets all of them go at once."""

    def __init__(self, n: int, store: object, limit: str, seconds: float) -> None:
        command = [sys.executable, TAKER, str(store), limit, str(seconds)]
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(n)
        ]

    def start(self) -> None:
        """Let them go when all are ready."""
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        self.started_s = time.monotonic()
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    def granted(self) -> list[list[float]]:
        """Of each process, when it asked for the sends it was granted; waits until they have ended."""
        return [[float(line) for line in process.communicate()[0].splitlines()] for process in self.processes]
