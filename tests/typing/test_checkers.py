"""mypy and pyright see misspelled names and wrong arguments, and accept the right ones."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAZY_PACKAGES = ["cohere_rerank", "cohere_rerank.limits", "cohere_rerank.server", "cohere_rerank.testing"]
MISSPELLED = {
    "cohere_rerank": "Clinet",
    "cohere_rerank.limits": "Filestore",
    "cohere_rerank.server": "creat_app",
    "cohere_rerank.testing": "FakeCohere",
}
CALL = 'ClientV2("k").rerank(model="m", query="q", documents={documents})'
WRONG = [
    *(f"from {package} import {name}" for package, name in MISSPELLED.items()),
    *(f"cohere_rerank{package.removeprefix('cohere_rerank')}.{name}" for package, name in MISSPELLED.items()),
    CALL.format(documents='"one text"'),
    CALL.format(documents='b"one text"'),
    CALL.format(documents="3"),
    'ClientV2("k").rerank_many([], documents="one text")',
    'ClientV2("k").rerank_many([], top_k=3)',
    'ClientV2("k").with_options(timeuot=3)',
    'ClientV2("k").with_options(timeout="3")',
    'ClientV2("k", dialect="tie")',
    'ClientV2("k", limit="tiral")',
    'ClientV2("k", fallback="locale")',
]
RIGHT = [
    CALL.format(documents='["a", {"text": "b"}]'),
    CALL.format(documents='("a", "b")'),
    CALL.format(documents='(text for text in ["a", "b"])'),
    CALL.format(documents='{"a": 1}.values()'),
    CALL.format(documents="numpy.array(['a', 'b'])"),
    CALL.format(documents="deque(['a', 'b'])"),
    CALL.format(documents="map(str, [1, 2])"),
    'ClientV2("k").rerank(model="a-model-of-mine", query="q", documents=[])',
    'ClientV2("k").rerank_many([], top_n=3)',
    'ClientV2("k").with_options(timeout=3, limit=RateLimit(per_minute=3))',
    'ClientV2("k", dialect="tei", limit="trial", fallback="local")',
]
HEAD = """from collections import deque
import numpy
import cohere_rerank.limits, cohere_rerank.server, cohere_rerank.testing
from cohere_rerank import ClientV2, RateLimit
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of wrong lines, and a file of right ones with every public name of the lazy packages."""
    folder = tmp_path_factory.mktemp("typing")
    names = [f"from {package} import {name}" for package in LAZY_PACKAGES for name in _public(package)]
    (folder / "wrong.py").write_text("\n".join([HEAD, *WRONG]))
    (folder / "right.py").write_text("\n".join([HEAD, *names, *RIGHT]))
    return [folder / "wrong.py", folder / "right.py"]


def _public(package):
    return importlib.import_module(package).__all__


def mypy_errors(files):
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-absolute-path"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {
        (Path(path).name, int(line)) for path, line in re.findall(r"^(.+?):(\d+): error", done.stdout, re.MULTILINE)
    }


def pyright_errors(files):
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run([*command, *files], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found if each["severity"] == "error"
    }


@pytest.mark.parametrize("errors_of", [mypy_errors, pyright_errors])
def test_type_checkers_find_each_wrong_line_and_no_other(files, errors_of):
    """Misspelled names, arguments and options, and one text in place of a list of documents."""
    first = HEAD.count("\n") + 2
    expected = {("wrong.py", first + index) for index in range(len(WRONG))}
    assert errors_of(files) == expected
