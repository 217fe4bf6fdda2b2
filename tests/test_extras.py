"""Optional packages: the error when one is missing."""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path

import pytest

import cohere_rerank
from cohere_rerank._extras import importing, require


def test_require_returns_the_module():
    """The full name of a submodule returns that submodule."""
    assert require("json.decoder", "cli", "A test") is json.decoder


def test_a_missing_package_names_the_feature_the_extra_and_the_command():
    """The reason of the failure is in the message, and the import error is its cause."""
    with pytest.raises(ImportError) as caught:
        require("no_such_package", "cli", "A test")
    assert str(caught.value) == (
        "A test needs the extra \"cli\" (No module named 'no_such_package'); "
        'install it with: pip install "cohere-rerank[cli]"'
    )
    assert caught.value.name == "no_such_package"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_import_statements_in_a_block_raise_the_same_error():
    """Other errors in the block are left as they are."""
    with pytest.raises(ImportError, match=r'A test needs the extra "cli" .*\[cli\]"'), importing("cli", "A test"):
        import_module("no_such_package")
    with pytest.raises(KeyError), importing("cli", "A test"):
        raise KeyError("x")


def test_every_extra_that_the_code_names_exists():
    """The pip command of each message installs something."""
    extras = metadata("cohere-rerank").get_all("Provides-Extra")
    named = set()
    for file in Path(cohere_rerank.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                position = {"require": 1, "importing": 0, "missing_extra": 0}.get(node.func.id)
                if position is not None and isinstance(node.args[position], ast.Constant):
                    named.add(node.args[position].value)
    assert {"cli", "onnx", "progress", "redis", "semantic", "server"} <= named <= set(extras)


def test_only_one_module_words_the_message():
    """Every feature that needs an extra goes through `require` or `importing`."""
    wording = re.compile(r"pip install \\?\"cohere-rerank\[")
    files = Path(cohere_rerank.__file__).parent.rglob("*.py")
    raising = [file.name for file in files if wording.search(_code(file))]
    assert raising == ["_extras.py"]


def _code(file):
    """Return the string constants of a module, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    docstrings = {id(node.body[0].value) for node in nodes}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(node.value for node in texts if id(node) not in docstrings)
