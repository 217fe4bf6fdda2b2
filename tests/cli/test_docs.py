"""The reference of the command line equals its help, and the sessions of the guide run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.reference import PAGE, reference

GUIDES = [PAGE.parents[1] / "files" / name for name in ("command-line.md", "index.md", "batch-jobs.md")]
SESSION = re.compile(r"(<!-- no-run: \S[^\n]* -->\n)?```console\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ (.*(?:\n> .*)*)\n", re.MULTILINE)


def test_reference_is_what_help_says():
    """`python tests/cli/reference.py` writes the page again."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def sessions(text):
    """Yield the blocks of a page as lists of (command, output). A line that starts with > continues a command."""
    for no_run, block in SESSION.findall(text):
        if not no_run:
            _, *pieces = COMMAND.split(block)
            commands = [command.replace("\n> ", "\n") for command in pieces[::2]]
            yield list(zip(commands, pieces[1::2], strict=True))


@pytest.fixture
def shell(tmp_path):
    """``shell(command)`` returns what a command prints on both streams. The program is on its PATH."""
    (tmp_path / "bin").mkdir()
    for name, runs in {"cohere-rerank": f"{sys.executable} -m cohere_rerank", "python3": sys.executable}.items():
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {runs} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    (tmp_path / "work").mkdir()

    def run(command):
        environment = {**os.environ, "PATH": path, "COLUMNS": "80"}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.stdout

    return run


def is_like(printed, shown):
    """Return whether the output is what the page shows. A … matches any text within a line."""
    lines = (".*".join(map(re.escape, line.split("…"))) for line in shown.splitlines())
    return re.fullmatch("\n".join(lines), "\n".join(line.rstrip() for line in printed.splitlines())) is not None


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="the sessions need bash")
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_sessions_of_the_guide_run_as_shown(shell, guide):
    """A reader who types the commands from top to bottom sees what the page shows."""
    shown = list(sessions(guide.read_text(encoding="utf-8")))
    assert shown
    for session in shown:
        for command, output in session:
            printed = shell(command)
            assert is_like(printed, output), f"$ {command}\n{printed}"


def test_checker_sees_wrong_output(shell):
    """The check above reads commands of several lines and compares their output."""
    text = "```console\n$ echo 1 \\\n>   2\n1 2\n$ true\n```\n<!-- no-run: key -->\n```console\n$ echo 3\n4\n```\n"
    (found,) = sessions(text)
    assert found == [("echo 1 \\\n  2", "1 2\n"), ("true", "")]
    assert [shell(command) for command, _ in found] == ["1 2\n", ""]
    assert is_like("score 0.98 tea \nb\n", "score 0.9… tea\nb\n")
    assert not is_like("score 0.98 tea\nb\nc\n", "score 0.9… tea\nb\n")
    assert not is_like("score 0.18 tea\n", "score 0.9… tea\n")
