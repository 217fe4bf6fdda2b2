"""Packages that only some scorers need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(module: str, extra: str) -> Any:
    """Import a module of an extra.

    Raises:
        ImportError: It is not installed; names the extra that brings it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f'local:{extra} needs {module} ({error}); install it with: pip install "cohere-rerank[{extra}]"'
        ) from error
