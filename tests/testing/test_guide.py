"""The tests of the guide pass, and its faults files are valid."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import pytest
import yaml

from cohere_rerank.testing.malformed import MALFORMED
from cohere_rerank.testing.plan import Malformed
from cohere_rerank.testing.plan_file import read_plan

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "testing" / "index.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "testing.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.skipif("cohere_rerank" not in {p.name for p in entry_points(group="pytest11")}, reason="pip install -e .")
def test_the_tests_of_the_guide_pass(tmp_path):
    """The guide's file works with pytest alone, without a conftest and settings."""
    tests = [block for block in blocks(GUIDE, "python") if "(fake_cohere)" in block]
    (tmp_path / "test_answers.py").write_text("\n\n".join(tests), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


@pytest.mark.parametrize("text", [*blocks(GUIDE, "yaml"), *blocks(REFERENCE, "yaml")])
def test_the_plans_of_the_docs_are_valid(text):
    """Each plan is valid and has faults."""
    assert read_plan(yaml.safe_load(text)).faults


def test_the_reference_lists_every_malformed_reply():
    """The reference lists exactly the kinds that exist."""
    rows = re.findall(r"^\| (`.*?`) \|", REFERENCE.partition("| `malformed` |")[2], re.MULTILINE)
    listed = [name for row in rows for name in re.findall("`(.*?)`", row)]
    assert sorted(listed) == sorted(MALFORMED) == sorted(get_args(Malformed))
