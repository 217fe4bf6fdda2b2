"""Run the program in this process, which is fast, or in a process of its own, for tests of pipes and signals."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

if find_spec("click") is None or find_spec("rich") is None:
    collect_ignore_glob = ["test_*.py"]  # the extra `cli` is not installed

COMMAND = [sys.executable, "-m", "cohere_rerank"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``run("rank", "tea", ...)`` runs the program in an empty folder and returns its exit code and output."""
    from click.testing import CliRunner

    from cohere_rerank.cli._program import program

    monkeypatch.chdir(tmp_path)

    def invoke(*args, input=None, env=None):
        return CliRunner().invoke(program, [*map(str, args)], input=input, env=env, prog_name="cohere-rerank")

    return invoke


@pytest.fixture
def start(tmp_path):
    """``start("rank", ...)`` starts the program as a process with pipes. The process ends with the test."""
    started = []

    def popen(*args, env=None, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = {**os.environ, **(env or {})}
        started.append(
            subprocess.Popen([*COMMAND, *map(str, args)], cwd=tmp_path, env=environment, **{**pipes, **options})
        )
        return started[-1]

    yield popen
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
