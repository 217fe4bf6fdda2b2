"""The progress bar on stderr. It needs the extra ``[progress]``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ._extras import importing

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(total: int | None, unit: str) -> Iterator[Callable[[], object]]:
    """Show a bar while the block runs, and yield a function that advances it by one.

    Args:
        total: The number of steps, or None if it is not known.
        unit: The name of one step in the singular, such as ``"request"``.

    Raises:
        ImportError: The extra is not installed.
    """
    with importing("progress", "A progress bar"):
        from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]
    with tqdm(total=total, unit=unit) as bar:
        yield bar.update
