"""Run the program on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

from tests.cli.conftest import COMMAND

# Makes the terminal at standard input the controlling terminal, so that Ctrl-C sends a signal. A fork here would be
# unsafe, because this process has threads.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def on_terminal(*args, typed=b"", columns=80, env=None):
    """Return what the program prints on a terminal, and its exit code. Type the input when the program asks for it."""
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **(env or {})}
    command = [sys.executable, "-c", TAKE_TERMINAL, *COMMAND, *map(str, args)]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True)
    os.close(its)
    shown = b""
    while piece := read(ours):
        shown += piece
        if typed and b"Ctrl-D" in shown:
            os.write(ours, typed)
            typed = b""
    os.close(ours)
    return shown.decode(), process.wait(60)


def read(terminal):
    """Return the next output of the terminal, and nothing at its end."""
    assert select.select([terminal], [], [], 60)[0], "the program prints nothing"
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports that the other side is closed
        return b""
