"""Run the code blocks of a page from top to bottom, as a reader would: ``python run_page.py PAGE``.

A Python block runs in the namespace of its page. A text block after it must be what the block printed. A block below
the comment ``<!-- no-run: reason -->`` is only compiled. tests/test_docs.py runs this file in an environment that has
nothing but what the page tells its reader to install, so it imports nothing of this project.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

# A block of an environment is a recipe, which tests/compat runs.
NO_RUN = re.compile(r"<!-- (?:no-run|environment): \S[^>]*? -->\s*\Z")

# The key in a namespace for the output of the last block; None if that block was not run.
PRINTED = "__printed__"


def is_no_run(example: Any) -> bool:
    """Return whether a comment `<!-- no-run: reason -->` is directly above a block."""
    return bool(NO_RUN.search(example.document.text[: example.region.start]))


def run_python(example: Any) -> None:
    """Run the block in the namespace of its page, or only compile it. Keep its output."""
    example.namespace[PRINTED] = None
    if is_no_run(example):
        compile(example.parsed, f"{example.path}:{example.line}", "exec")
        return
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        PythonEvaluator()(example)
    example.namespace[PRINTED] = printed.getvalue()


def compare_text(example: Any) -> None:
    """Check that a text block equals the output of the block before it."""
    printed = example.namespace.pop(PRINTED, None)
    if printed is None or is_no_run(example):
        return
    shown, real = ([line.rstrip() for line in text.strip("\n").splitlines()] for text in (example.parsed, printed))
    if real != shown:
        place = f"{example.path}:{example.line}"
        raise AssertionError(f"{place} shows another output than the block printed:\n{printed}")


def forget_output(example: Any) -> None:
    """Forget the output when another block comes before a text block."""
    example.namespace.pop(PRINTED, None)


PARSERS = [
    CodeBlockParser("python", run_python),
    CodeBlockParser("text", compare_text),
    *(CodeBlockParser(name, forget_output) for name in ("bash", "console", "json", "yaml", "toml")),
]


def run_page(path: Path) -> None:
    """Run every block of one page."""
    for example in Sybil(parsers=PARSERS).parse(path).examples():
        example.evaluate()


def runs_code(path: Path) -> bool:
    """Return whether a page has a Python block that runs."""
    examples = Sybil(parsers=[CodeBlockParser("python", run_python)]).parse(path).examples()
    return not all(map(is_no_run, examples))


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
