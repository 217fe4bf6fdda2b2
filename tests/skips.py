"""Skipped tests in CI: a skip fails the run unless this file expects it. Here too: what cannot run on Windows.

Set `CI=true` to try it. A test that does not run there tests nothing, and a line "1 skipped" is easily overlooked.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

LINUX = sys.platform.startswith("linux")
WINDOWS = sys.platform == "win32"
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
CHECKOUT = Path(__file__).resolve().parent.parent.joinpath(".github").is_dir()


class Expected(NamedTuple):
    """A skip that is in order where it applies."""

    applies: bool
    reason: str  # a regular expression that finds the reason of the skip
    because: str


EXPECTED = [
    Expected(sys.version_info < (3, 11), "zensical|mkdocstrings", "The tools of the documentation need Python 3.11."),
    Expected(sys.version_info < (3, 11), "add_note", "Python 3.10 has no notes on exceptions."),
    Expected(
        sys.version_info < (3, 11), "schemathesis|jsonschema_rs", "New versions of schemathesis need Python 3.11."
    ),
    Expected(
        not (LINUX and (3, 11) <= sys.version_info[:2] <= (3, 13)),
        "recorded versions of the frameworks",
        "Each framework supports some Pythons only. These are common to all of them.",
    ),
    Expected(not CHECKOUT, "not a checkout", "An unpacked sdist has no files of CI."),
    Expected(not ROOT, "mounting a small file system", "Only root can mount a file system."),
    Expected(not LINUX, "/proc", "Only Linux describes processes in /proc."),
    Expected(not LINUX, "/dev/full", "Only Linux has a device that is always full."),
    Expected(not LINUX, "nginx|caddy|Dockerfile", "The files for a deployment are for servers on Linux."),
    Expected(not LINUX, "Chromium", "The page is tested in a browser on Linux. It is the same page everywhere."),
    Expected(WINDOWS, "fork", "Windows has no fork."),
    Expected(WINDOWS, "redis-server", "Redis has no server for Windows."),
    Expected(WINDOWS, "bash|terminal", "The examples of the command line are written for a POSIX shell."),
    Expected(WINDOWS, "^not on Windows: ", "NOT_ON_WINDOWS, below, says why."),
]

# Tests that use what Windows does not have. The name of a file stands for all of its tests.
NOT_ON_WINDOWS = {
    "tests/cli/test_docs.py": "it runs the shell sessions of the documentation",
    "tests/integrations/test_ray.py": "it kills a cluster with SIGKILL",
    "tests/jobs/test_command.py": "it stops jobs with SIGINT and SIGTERM",
    "tests/jobs/test_kill.py": "it kills jobs with SIGKILL",
    "tests/jobs/test_local.py": "it sends signals to worker processes",
    "tests/jobs/test_stops.py": "it stops jobs with signals and limits the size of files with `resource`",
    "tests/server/test_deploy_files.py": "the files for a deployment are for servers on Linux",
    "tests/server/test_terminal.py": "it closes a terminal of POSIX and sends signals",
    "tests/server/test_program.py": "it stops servers with SIGTERM and finds their workers in /proc",
    "tests/server/test_playground.py": "the page is tested in a browser on Linux",
    "tests/testing/test_serve.py": "it stops the server with SIGTERM",
}
IMPORT_FAILS_ON_WINDOWS = ["tests/jobs/test_stops.py"]  # pytest must not even import these


def why_not_on_windows(node_id: str) -> str | None:
    """The reason to skip a test on Windows, if there is one."""
    why = NOT_ON_WINDOWS.get(node_id.partition("::")[0]) or NOT_ON_WINDOWS.get(node_id.partition("[")[0])
    return why and f"not on Windows: {why}"


def is_strict() -> bool:
    """Whether a skip that is not expected fails its test."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def is_expected(reason: str) -> bool:
    """Whether a test may be skipped for this reason on this machine."""
    return any(expected.applies and re.search(expected.reason, reason) for expected in EXPECTED)
