"""The versions of frameworks that the documentation lists: exactly these are installed by the tests.

make frameworks                             # checks the newest releases instead
python tests/compat/versions.py agno 3.1.10 # what `make frameworks` calls to record them
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.environments import Environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "move" / "frameworks.md"
ROW = re.compile(r"^\| `([\w.-]+)` \| ([\w.]+) \|", re.MULTILINE)
NEWEST = "NEWEST_FRAMEWORKS"  # if set, the newest releases are tested and recorded
SUPPORTED = sys.platform.startswith("linux") and (3, 11) <= sys.version_info[:2] <= (3, 13)
REASON = "the recorded versions of the frameworks are tested with Python 3.11 to 3.13 on Linux"


def recorded() -> dict[str, str]:
    """The version of each package in the table of the page."""
    return dict(ROW.findall(PAGE.read_text(encoding="utf-8")))


def pinned(packages: Iterable[str]) -> list[str]:
    """Requirements for the packages: the versions in the table, or the newest releases if `NEWEST` is set."""
    if os.environ.get(NEWEST):
        return list(packages)
    versions = recorded()
    return [f"{package}=={versions[package]}" for package in packages]


def check(environment: Environment, packages: Iterable[str]) -> None:
    """Compare the versions in an environment in which everything worked with the table, or record them."""
    found = {package: environment.version(package) for package in packages}
    if os.environ.get(NEWEST):
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(ROW.sub(lambda row: f"| `{row[1]}` | {found.get(row[1], row[2])} |", text), encoding="utf-8")
    versions = recorded()
    assert found == {package: versions.get(package) for package in packages}
