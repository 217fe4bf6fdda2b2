"""The code of the documentation runs, its output is real, and the site builds without a warning."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests import environments, pictures

pytest.importorskip("sybil")
from tests.run_page import run_page, runs_code

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COLOR = re.compile(r"\x1b\[[0-9;]*m")
INSTALL = re.compile(r"pip install ([^`\n#]+)")
EXTRAS = re.compile(r"cohere-rerank(?:\[([\w,-]+)\])?")
LARGE = {"daft", "ray"}  # hundreds of megabytes; examples/clusters are run by `make test-all`


def packages(page):
    """Return the requirements and extras that a page tells its reader to install."""
    extras, others = set(), set()
    for words in INSTALL.findall(page.read_text(encoding="utf-8")):
        for word in shlex.split(words):
            found = EXTRAS.fullmatch(word)
            if found:
                extras.update((found[1] or "").split(",") if found[1] else ())
            elif word != "." and not word.startswith("-"):
                others.add(word)
    return sorted(others), sorted(extras - LARGE)


@pytest.fixture
def user_machine(monkeypatch, tmp_path):
    """An empty folder on a machine without a key."""
    monkeypatch.setenv("CO_API_URL", "local:")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if runs_code(page)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_code_of_every_page_runs_and_prints_what_the_page_shows(page, tmp_path):
    """A reader who installs what a page names, and copies its blocks in order, sees what the page shows."""
    others, extras = packages(page)
    environment = environments.get("sybil>=9", *others, extras=extras)
    environment.run(ROOT / "tests" / "run_page.py", page, cwd=tmp_path, env={"CO_API_URL": "local:"})


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
    """The check above fails for wrong output and wrong code, and only then."""
    page = user_machine / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(error) if error else contextlib.nullcontext():
        run_page(page)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. It is built from a copy, so that no file of the checkout changes."""
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
    output = COLOR.sub("", done.stderr + done.stdout)
    assert done.returncode == 0, output
    # `--strict` counts broken links. Warnings of mkdocstrings and griffe go to stderr only.
    warnings = [line for line in done.stderr.splitlines() if line != "No issues found"]
    assert not warnings, output
    return copy / "site"


@pytest.mark.slow
def test_site_builds_without_a_warning(site):
    """All links and docstrings are valid, and every page of docs/ is a page of the site."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        relative = page.relative_to(ROOT / "docs").with_suffix("")
        folder = relative.parent if relative.name == "index" else relative
        assert (site / folder / "index.html").is_file(), f"docs/{relative}.md is not in the site"


def test_navigation_names_only_pages_that_exist():
    """Zensical does not report a missing page: the reader would find an entry called `none`."""
    named = re.findall(r'"([^"\n]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert "index.md" in named
    assert not [name for name in named if not (ROOT / "docs" / name).is_file()]


def documented_names(site):
    """Return the full names in the Sphinx inventory of the site."""
    header, body = (site / "objects.inv").read_bytes().split(b"using zlib.\n", 1)
    assert b"Sphinx inventory version 2" in header
    return {line.split(" ", 1)[0] for line in zlib.decompress(body).decode().splitlines()}


@pytest.mark.slow
def test_reference_has_every_public_name(site):
    """The reference has an entry for every name of `cohere_rerank.__all__`."""
    import cohere_rerank

    documented = {part for name in documented_names(site) for part in name.split(".")}
    public = {name for name in cohere_rerank.__all__ if not name.startswith("__")}
    assert sorted(public - documented) == []


@pytest.mark.slow
def test_reference_shows_each_name_once_and_no_private_name(site):
    """ClientV2 comes first on its page, before AsyncClientV2. No base class with an underscore is shown."""
    names = {}
    for page in sorted((site / "reference").glob("*/index.html")):
        html = page.read_text(encoding="utf-8")
        names[page.parent.name] = re.findall(r'<h[2-6][^>]* id="(cohere_rerank\.[^"]*)"', html)
        assert not re.findall(r"Bases: <code>.*?\b_[A-Za-z]", html)
    everything = [name for page in names.values() for name in page]
    assert sorted(set(everything)) == sorted(everything)
    assert not [name for name in everything if re.search(r"\._(?!_)", name)]
    classes = [name for name in names["client"] if name.count(".") == 1]
    assert classes[:2] == ["cohere_rerank.ClientV2", "cohere_rerank.AsyncClientV2"]


def test_decisions_index_has_each_page_with_its_title():
    """The link text is the heading of the page."""
    folder = ROOT / "docs" / "decisions"
    titles = {page.name: page.read_text(encoding="utf-8").splitlines()[0] for page in folder.glob("0*.md")}
    listed = re.findall(r"^- \[(.*)\]\((.*)\)$", (folder / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [(f"# {text}", page) for text, page in listed] == [(titles[page], page) for page in sorted(titles)]


def test_contributing_names_every_module_and_folder():
    """A newcomer finds each part of the package in the tables of CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    parts = [
        path for path in (ROOT / "cohere_rerank").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    names = {f"`{path.name}/`" if path.is_dir() else f"`{path.name}`" for path in parts}
    missing = {name for name in names if name not in text}
    assert missing == {"`__init__.py`", "`__main__.py`", "`_version.py`"}


def test_pages_name_only_modules_that_exist():
    """The lifecycle of a request and CONTRIBUTING have no outdated path."""
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "explanation" / "request.md"):
        modules = re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", page.read_text(encoding="utf-8"))
        assert modules
        assert not [
            name for name in modules if not any((folder / name).exists() for folder in (ROOT / "cohere_rerank", ROOT))
        ]


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, pictures.CHROMIUM)), reason="needs Chromium")
def test_pictures_can_be_made_again(tmp_path):
    """The script draws every picture that the pages show."""
    pictures.make(tmp_path)
    shown = {
        name for page in PAGES for name in re.findall(r"images/([\w-]+\.(?:png|svg))", page.read_text(encoding="utf-8"))
    }
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made.keys() == shown
    drawing = made.pop("performance.svg")
    assert drawing == (ROOT / "docs" / "images" / "performance.svg").read_bytes()
    assert all(picture.startswith(b"\x89PNG") and len(picture) < 300_000 for picture in made.values())
