"""Every script in examples/ runs as it is: without a key, a network, an argument or an environment variable."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_server import Server

FOLDER = Path(__file__).resolve().parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("[!_]*.py"))
CLUSTER_EXAMPLES = sorted(FOLDER.glob("clusters/with_*.py"))
ENGINES = {"with_daft": "daft", "with_dask": "dask", "with_ray": "ray", "with_spark": "pyspark"}
NEEDS_NO_KEY = {"demo", "errors_and_retries", "offline_tests", "test_with_faults"}
CALLS_THE_API = [path for path in EXAMPLES if path.stem not in NEEDS_NO_KEY]
SAYS_LOCAL = "CO_API_KEY is not set: the local engine answers.\n"

# The environment of a new shell. SYSTEMROOT and TEMP are for Windows.
SHELL = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMPDIR") if name in os.environ}


def run(*command, cwd, timeout_s=60, **environment):
    """Run Python with these arguments in an environment that holds nothing else of ours."""
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=cwd,
        env={**SHELL, "HOME": str(cwd), "PYTHONIOENCODING": "utf-8", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout_s,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_without_a_key_and_prints_a_result(example, tmp_path):
    """A script ends with exit code 0, without a warning, and says once if the local engine replaced the API."""
    done = run(example, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(SAYS_LOCAL) == (example in CALLS_THE_API)
    assert done.stdout.removeprefix(SAYS_LOCAL).strip()


@pytest.mark.parametrize("example", CALLS_THE_API, ids=lambda path: path.stem)
def test_example_calls_the_api_with_a_key(example, tmp_path):
    """Every request goes to the API, with the key of CO_API_KEY or COHERE_API_KEY."""
    variable = "COHERE_API_KEY" if example.stem == "quickstart" else "CO_API_KEY"
    with Server() as server:
        done = run(example, cwd=tmp_path, CO_API_URL=server.url, **{variable: "an-api-key"})
        assert done.returncode == 0, done.stderr
        assert {request.header("authorization") for request in server.requests} == {"Bearer an-api-key"}
    assert SAYS_LOCAL not in done.stdout


@pytest.mark.parametrize("example", [*EXAMPLES, *CLUSTER_EXAMPLES], ids=lambda path: path.stem)
def test_example_is_short_and_starts_with_one_sentence(example):
    """The first line of a script says what it shows."""
    source = example.read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]
    assert first.endswith(".") and first.count(". ") == 0
    assert len(source.splitlines()) <= 100


@pytest.mark.parametrize("name", ["offline_tests", "test_with_faults"])
def test_pytest_runs_an_example_alone(name, tmp_path):
    """The tests among the examples need no plugin but the package's own."""
    plugins = ["-p", "no:timeout", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = run("-m", "pytest", "-q", *plugins, FOLDER / f"{name}.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("example", CLUSTER_EXAMPLES, ids=lambda path: path.stem)
def test_cluster_example_says_what_to_install(example, tmp_path):
    """Without its engine, a script prints one line on standard error and ends with exit code 1."""
    hide = f"import sys, runpy; sys.modules[{ENGINES[example.stem]!r}] = None; runpy.run_path({str(example)!r})"
    done = run("-c", hide, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "; to install it: pip install " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
@pytest.mark.parametrize("example", CLUSTER_EXAMPLES, ids=lambda path: path.stem)
def test_cluster_example_ranks_its_sample(example, tmp_path):
    """With its engine, a script runs without arguments."""
    if importlib.util.find_spec(ENGINES[example.stem]) is None:
        pytest.skip(f"needs {ENGINES[example.stem]}")
    if example.stem == "with_spark" and shutil.which("java") is None:
        pytest.skip("needs Java")
    done = run("-W", "default", example, cwd=tmp_path, timeout_s=300, PYTHONPATH=str(FOLDER.parent))
    assert done.returncode == 0, done.stderr[-3000:]
    assert SAYS_LOCAL in done.stdout
    assert "ranked" in done.stdout
