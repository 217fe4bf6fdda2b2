"""Who is told how far an evaluation has come: nobody, a function, or a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from cohere_rerank._progress import progress_bar

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
        with progress_bar(total, "ranking") as advance:
            yield advance
    else:
        yield lambda: None
