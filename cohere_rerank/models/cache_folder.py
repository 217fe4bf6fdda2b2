"""The folder that downloaded models are kept in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["VARIABLE", "cache_folder"]

VARIABLE = "COHERE_RERANK_MODELS"


def cache_folder() -> Path:
    r"""Return the folder of all downloaded models; it may not exist yet.

    The environment variable ``COHERE_RERANK_MODELS`` names it. Without the variable, it is the usual place of the
    system: ``~/.cache/cohere-rerank/models`` on Linux (or below ``XDG_CACHE_HOME``),
    ``~/Library/Caches/cohere-rerank/models`` on macOS and ``%LOCALAPPDATA%\cohere-rerank\models`` on Windows.
    """
    if folder := os.environ.get(VARIABLE):
        return Path(folder).expanduser().absolute()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "cohere-rerank" / "models"
