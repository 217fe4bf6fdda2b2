"""In CI, a test that is skipped without an expected reason fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import skips
from tests.conftest import fail_if_skipped

TESTS = Path(__file__).resolve().parent


def skipped_report(reason):
    """The report of a skipped test, as pytest makes it."""
    return pytest.TestReport(
        nodeid="tests/test_x.py::test_y",
        location=("tests/test_x.py", 1, "test_y"),
        keywords={},
        outcome="skipped",
        longrepr=("tests/test_x.py", 1, f"Skipped: {reason}"),
        when="call",
    )


def test_a_skip_fails_in_ci(monkeypatch):
    """The message names the test, the reason and what to do."""
    monkeypatch.setenv("CI", "true")
    report = fail_if_skipped(skipped_report("needs a fax machine"))
    assert report.failed
    assert "test_y was skipped in CI: Skipped: needs a fax machine" in str(report.longrepr)
    assert "tests/skips.py" in str(report.longrepr)


def test_a_skip_is_a_skip_elsewhere(monkeypatch):
    """A developer without Redis or Chromium can still run the suite."""
    monkeypatch.delenv("CI", raising=False)
    assert fail_if_skipped(skipped_report("needs a fax machine")).skipped


def test_an_expected_skip_is_a_skip_in_ci(monkeypatch):
    """A reason that applies on this machine is accepted; one that applies elsewhere is not."""
    monkeypatch.setenv("CI", "true")
    expected = [skips.Expected(True, "fax", "why"), skips.Expected(False, "telex", "why")]
    monkeypatch.setattr(skips, "EXPECTED", expected)
    assert fail_if_skipped(skipped_report("needs a fax machine")).skipped
    assert fail_if_skipped(skipped_report("needs a telex")).failed


def test_an_expected_failure_is_not_a_skip(monkeypatch):
    """pytest reports an expected failure as skipped too, but the test has run."""
    monkeypatch.setenv("CI", "true")
    report = skipped_report("a known bug")
    report.wasxfail = "a known bug"
    assert fail_if_skipped(report).skipped


def test_the_tests_that_cannot_run_on_windows_exist():
    """The list has no leftovers."""
    assert [name for name in skips.NOT_ON_WINDOWS if not (TESTS.parent / name.partition("::")[0]).is_file()] == []
    assert set(skips.IMPORT_FAILS_ON_WINDOWS) <= set(skips.NOT_ON_WINDOWS)
