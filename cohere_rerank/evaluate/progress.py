"""Who is told how far an evaluation has come: nobody, a function, or a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

__all__ = ["steps"]


@contextmanager
def steps(progress: bool | Callable[[int, int], object], total: int) -> Iterator[Callable[[], object]]:
    """A function to call after each of *total* steps.

    Args:
        progress: False tells nobody; a function is called with (done, of); True draws a bar on stderr.
        total: How many steps there will be.

    Raises:
        ImportError: A bar is asked for, and tqdm is not installed.
    """
    if callable(progress):
        done = count(1)
        yield lambda: progress(next(done), total)
    elif progress:
        try:
            from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            raise ImportError('the progress bar is an extra: pip install "cohere-rerank[progress]"') from None
        with tqdm(total=total, unit="ranking") as bar:
            yield bar.update
    else:
        yield lambda: None
