"""The picture of a report: a PNG file, drawn without a window, for any names."""

from __future__ import annotations

import sys

import pytest

from cohere_rerank.evaluate import Report

PNG = b"\x89PNG\r\n\x1a\n"
VALUES = {"ndcg@10": [0.1, 0.7, 1.0], "map": [0.1, 0.1, 0.1]}


def test_plot_is_a_png_and_needs_no_window(tmp_path, monkeypatch):
    """It does not use pyplot, which keeps figures in memory and opens windows."""
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    Report(3, 0, {"a": VALUES, "b": VALUES}).plot(tmp_path / "report.png")
    content = (tmp_path / "report.png").read_bytes()
    assert content.startswith(PNG)
    assert len(content) > 5000


def test_names_with_a_meaning_in_matplotlib_are_drawn_unchanged(tmp_path):
    """A part of a formula, a leading underscore, a single list. The path may be a string without .png."""
    pytest.importorskip("matplotlib")
    Report(1, 0, {r"$\frac": {"map": [0.3]}, "_hidden": {"map": [1 / 3]}}).plot(str(tmp_path / "picture"))
    assert (tmp_path / "picture").read_bytes().startswith(PNG)


def test_every_system_is_in_the_legend(tmp_path, monkeypatch):
    """Also a system whose name matplotlib would leave out."""
    figure = pytest.importorskip("matplotlib.figure")
    shown = []

    def record_legend(self, *_, **__):
        shown.extend(text.get_text().strip() for legend in self.legends for text in legend.get_texts())

    monkeypatch.setattr(figure.Figure, "savefig", record_legend)
    Report(3, 0, {"first": VALUES, "_second": VALUES, "third": VALUES}).plot(tmp_path / "x.png")
    assert shown == ["first", "_second", "third"]


def test_without_matplotlib_the_error_names_the_extra(tmp_path, monkeypatch):
    """No file is written."""
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "cohere-rerank\[plot\]"'):
        Report(3, 0, {"a": VALUES}).plot(tmp_path / "report.png")
    assert list(tmp_path.iterdir()) == []
