"""The files of CI: what they run is pinned, and they may do as little as possible."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

HOME = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted(HOME.glob(".github/workflows/*.yml"))

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="not a checkout")


def jobs():
    """The name of each job, and what is in it."""
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            yield f"{path.name}: {name}", job


def test_actions_are_pinned_by_commit():
    """A tag of an action can be moved, a commit cannot. The comment says which version it is."""
    lines = [line for path in WORKFLOWS for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    assert [line for line in lines if not re.search(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line)] == []


def test_the_same_action_is_pinned_to_one_commit():
    """A new version of an action is set everywhere."""
    pins = set(re.findall(r"uses: ([\w./-]+)@(\w+)", "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)))
    assert len(pins) == len({action for action, _ in pins})


def test_a_workflow_can_only_read():
    """Any other permission is given to one job, which needs it."""
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}, path


def test_no_job_runs_long_or_keeps_credentials():
    """A job that hangs is stopped, and code under test finds no token in the checkout."""
    for name, job in jobs():
        assert job["timeout-minutes"] <= 60, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_only_the_publishing_job_can_publish():
    """The trusted publisher is one small job, behind an environment that asks for a review."""
    publishing = {name: job for name, job in jobs() if "gh-action-pypi-publish" in str(job)}
    assert list(publishing) == ["release.yml: publish"]
    (job,) = publishing.values()
    assert job["permissions"] == {"id-token": "write"}
    assert job["environment"] == "pypi"


def test_ci_runs_what_contributors_run():
    """`.ci/run` ends with `make test`, and can be executed."""
    script = HOME / ".ci" / "run"
    assert script.read_text(encoding="utf-8").rstrip().splitlines()[-1] == "make test"
    assert os.access(script, os.X_OK)
