"""The recipes of the documentation run with the real packages, in an environment of their own.

`<!-- environment: PACKAGES -->` above a block of a page names the packages. All blocks of a page with the same packages
run in one program, from top to bottom, with the local engine. A `text` block right after one must equal its output.
With `server` among the packages, the address in the block is that of a running `cohere-rerank serve`.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import environments
from tests.compat import test_official_classes, test_vector_stores, versions

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"<!-- environment: ([\w\[\]. -]+) -->\s*\n```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
EXHAUSTIVE = {"crewai", "litellm"}  # they take half a minute
SERVER = "server"
ADDRESS = "http://127.0.0.1:8000"  # of the server in the documentation

RUN_BLOCKS = """
import contextlib, io, json, sys
namespace, outputs = {"__name__": "__main__"}, []
for number, source in enumerate(json.loads(sys.argv[1])):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, f"block {number}", "exec"), namespace)
    outputs.append(printed.getvalue())
print("\\n" + json.dumps(outputs))
"""


class Recipe(NamedTuple):
    """The blocks of a page that need the same packages."""

    packages: tuple[str, ...]
    has_server: bool
    blocks: list[str]
    outputs: list[str | None]


def find_recipes(text):
    """All recipes of a page."""
    recipes: dict[str, Recipe] = {}
    for names, source, output in BLOCK.findall(text):
        words = names.split()
        packages = tuple(word for word in words if word != SERVER)
        recipe = recipes.setdefault(names, Recipe(packages, SERVER in words, [], []))
        recipe.blocks.append(source)
        recipe.outputs.append(output or None)
    return list(recipes.values())


RECIPES = [
    pytest.param(
        recipe,
        id=f"{page.stem}-{'-'.join(recipe.packages)}",
        marks=[pytest.mark.exhaustive] if EXHAUSTIVE & {*recipe.packages} else [pytest.mark.slow],
    )
    for page in PAGES
    for recipe in find_recipes(page.read_text(encoding="utf-8"))
]
pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not versions.SUPPORTED, reason=versions.REASON),
]


@contextlib.contextmanager
def serving():
    """Start a server as a user does, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cohere_rerank", "serve", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready"):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def run_recipe(recipe):
    """Run the blocks, compare their outputs, and return the environment."""
    environment = environments.get(*versions.pinned(recipe.packages))
    with serving() if recipe.has_server else contextlib.nullcontext(ADDRESS) as address:
        blocks = json.dumps([block.replace(ADDRESS, address) for block in recipe.blocks])
        printed = environment.run("-c", RUN_BLOCKS, blocks, timeout_s=600, env={"CO_API_URL": "local:"})
    outputs = json.loads(printed.splitlines()[-1])
    for shown, real in zip(recipe.outputs, outputs, strict=True):
        assert shown is None or real.split() == shown.split()
    return environment


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_runs_with_the_real_package(recipe):
    """A reader who copies the recipe sees what the page shows, with the versions in the table."""
    versions.check(run_recipe(recipe), recipe.packages)


def test_table_lists_exactly_the_packages_that_are_tested():
    """No version is listed that no test uses."""
    tested = {name for parameter in RECIPES for name in parameter.values[0].packages}
    assert {*versions.recorded()} == tested | {*test_vector_stores.PACKAGES, *test_official_classes.PROGRAMS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "output", "error"),
    [("print(1)\n", "1\n", None), ("print(1)\n", "2\n", "1"), ("import not_there\n", None, "ModuleNotFoundError")],
    ids=["same", "differs", "fails"],
)
def test_checker_sees_wrong_output_and_wrong_code(source, output, error):
    """The check above fails for wrong output and wrong code, and only then."""
    shown = "" if output is None else f"\n```text\n{output}```\n"
    (recipe,) = find_recipes(f"<!-- environment: agno -->\n```python\n{source}```\n{shown}")
    with pytest.raises(AssertionError, match=error) if error else contextlib.nullcontext():
        run_recipe(recipe)
