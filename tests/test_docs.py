"""Documentation that cannot drift: its code runs, its output is real, the site builds clean."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

sybil = pytest.importorskip("sybil")
from sybil.evaluators.python import PythonEvaluator  # noqa: E402
from sybil.parsers.markdown import CodeBlockParser  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NO_RUN = re.compile(r"<!-- no-run: \S.*? -->\s*\Z", re.DOTALL)
COLOR = re.compile(r"\x1b\[[0-9;]*m")

# In a namespace: what the last block to run printed, None when the last block was not run.
PRINTED = "__printed__"


def is_no_run(example):
    """A comment `<!-- no-run: reason -->` directly above a block keeps it from being run."""
    return bool(NO_RUN.search(example.document.text[: example.region.start]))


def run_python(example):
    """Run the block in the namespace of its page, or only compile it; keep what it prints."""
    example.namespace[PRINTED] = None
    if is_no_run(example):
        compile(example.parsed, f"{example.path}:{example.line}", "exec")
        return
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        PythonEvaluator()(example)
    example.namespace[PRINTED] = printed.getvalue()


def compare_text(example):
    """The text block after a block that ran shows what that block printed, to the letter."""
    printed = example.namespace.pop(PRINTED, None)
    if printed is None or is_no_run(example):
        return
    shown, real = ([line.rstrip() for line in text.strip("\n").splitlines()] for text in (example.parsed, printed))
    assert real == shown, f"{example.path}:{example.line} shows other output than was printed"


def forget_output(example):
    """Any other block comes between a block and its output: it is not compared with anything."""
    example.namespace.pop(PRINTED, None)


PARSERS = [
    CodeBlockParser("python", run_python),
    CodeBlockParser("text", compare_text),
    *(CodeBlockParser(name, forget_output) for name in ("bash", "console", "json", "yaml", "toml")),
]


def run_page(path):
    """Run every block of one page, from top to bottom."""
    document = sybil.Sybil(parsers=PARSERS).parse(path)
    for example in document.examples():
        example.evaluate()


@pytest.fixture
def user_machine(monkeypatch, tmp_path):
    """A reader's machine without key or network, in an empty folder."""
    monkeypatch.setenv("CO_API_URL", "local:")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_of_every_page_runs_and_prints_what_the_page_shows(page, user_machine):
    """A reader who copies the blocks of a page, in order, sees what the page shows."""
    run_page(page)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nprint(1)\n```\n\n```text\n1\n```\n", None),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", AssertionError),
        ("```python\nx = 1\n```\n\n```python\nprint(x + y)\n```\n", NameError),
        ("<!-- no-run: needs a key -->\n```python\nnot_there()\n```\n\n```text\nfree\n```\n", None),
        ("<!-- no-run: needs a key -->\n```python\nnot a word of python\n```\n", SyntaxError),
        ("```python\nprint(1)\n```\n\n```bash\nls\n```\n\n```text\nfree\n```\n", None),
    ],
    ids=["same", "differs", "name", "no-run", "no-run-syntax", "other-block-between"],
)
def test_checker_sees_wrong_output_and_wrong_code(text, error, user_machine):
    """The check above fails where it should, and only there."""
    page = user_machine / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(error) if error else contextlib.nullcontext():
        run_page(page)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, made from a copy so that a checkout is never written to."""
    pytest.importorskip("zensical")
    pytest.importorskip("mkdocstrings_handlers.python")
    copy = tmp_path_factory.mktemp("docs")
    for name in ("docs", "cohere_rerank", "examples"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("zensical.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = COLOR.sub("", done.stderr + done.stdout)
    assert done.returncode == 0, said
    # `--strict` counts broken links; what mkdocstrings and griffe complain of goes to stderr only.
    complaints = [line for line in done.stderr.splitlines() if line != "No issues found"]
    assert not complaints, said
    return copy / "site"


@pytest.mark.slow
def test_site_builds_without_a_warning(site):
    """Links resolve, docstrings parse, and every page of docs/ became a page of the site."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        relative = page.relative_to(ROOT / "docs").with_suffix("")
        folder = relative.parent if relative.name == "index" else relative
        assert (site / folder / "index.html").is_file(), f"docs/{relative}.md is not in the site"


def test_navigation_names_only_pages_that_exist():
    """Zensical passes over a missing page in silence; the reader finds an entry called `none`."""
    named = re.findall(r'"([^"\n]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert "index.md" in named
    assert not [name for name in named if not (ROOT / "docs" / name).is_file()]


def documented_names(site):
    """The full names that the site can be linked to, from its Sphinx inventory."""
    header, body = (site / "objects.inv").read_bytes().split(b"using zlib.\n", 1)
    assert b"Sphinx inventory version 2" in header
    return {line.split(" ", 1)[0] for line in zlib.decompress(body).decode().splitlines()}


@pytest.mark.slow
def test_reference_has_every_public_name(site):
    """Whatever `cohere_rerank.__all__` offers has an entry in the reference."""
    import cohere_rerank

    documented = {part for name in documented_names(site) for part in name.split(".")}
    public = {name for name in cohere_rerank.__all__ if not name.startswith("__")}
    assert sorted(public - documented) == []
