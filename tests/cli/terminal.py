"""The program with a terminal around it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

from tests.cli.conftest import COMMAND

# Takes the terminal at its standard input for its own, so that Ctrl-C there is a signal; forking ourselves would be
# wrong in a process with threads.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def on_terminal(*args, typed=b"", columns=80, env=None):
    """What the program shows and its exit code, a terminal being all its streams; input is typed when asked for."""
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
    """What the terminal has next, nothing at its end."""
    assert select.select([terminal], [], [], 60)[0], "the program says nothing"
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""
