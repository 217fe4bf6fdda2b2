"""The progress of a batch, reported to a function or drawn as a bar."""

from __future__ import annotations

import sys

import pytest

from cohere_rerank.batch import BatchProgress
from tests.batch.helpers import row, rows


def test_a_function_gets_the_progress(driver):
    """After every outcome. The total is None for a generator."""
    reports: list[BatchProgress] = []
    driver.run([row(0), row(1, top_n=0), row(2)], progress=reports.append)
    driver.run(iter(rows(2)), progress=reports.append)
    assert [(at.n_done, at.n_failed, at.n_total) for at in reports] == [
        (1, 0, 3), (2, 1, 3), (3, 1, 3), (1, 0, None), (2, 0, None)
    ]  # fmt: skip
    assert all(at.elapsed_s >= 0 for at in reports)


def test_a_bar_is_drawn(driver, capsys):
    """On standard error, with the number of rows."""
    pytest.importorskip("tqdm")
    driver.run(rows(3), progress=True)
    assert "3/3" in capsys.readouterr().err


def test_a_bar_without_tqdm_names_the_extra(driver, monkeypatch):
    """The error comes before anything is sent."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"cohere-rerank\[progress\]"):
        driver.run(rows(3), progress=True)
