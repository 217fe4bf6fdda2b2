"""Several processes that share a limit and start at the same moment."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


class Processes:
    """Runs a script in n processes, which are killed when ``with`` ends.

    The script prints "ready", waits for a line on its standard input, and then does its work.
    """

    def __init__(self, n: int, script: str, *arguments: object) -> None:
        command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
        pipe = subprocess.PIPE
        self.all = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(n)]
        self.started_s = 0.0  # on the monotonic clock of the machine

    def start(self) -> None:
        """Wait until all are ready, then start them."""
        for process in self.all:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == "ready\n", process.communicate()
        self.started_s = time.monotonic()
        for process in self.all:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    def outcomes(self) -> list[tuple[str, str]]:
        """Wait until all have ended, and return what each printed and logged."""
        return [process.communicate() for process in self.all]

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.all:
            process.kill()
            process.communicate()
