"""Fixtures: a cache in memory and one in a file."""

from __future__ import annotations

import pytest

from cohere_rerank.cache import ScoreCache


@pytest.fixture(params=["memory", "file"])
def cache(request, tmp_path):
    return ScoreCache() if request.param == "memory" else ScoreCache(path=tmp_path / "scores")
