"""Report the progress of an evaluation: not at all, to a function, or as a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from cohere_rerank._progress import progress_bar

__all__ = ["reporting"]


@contextmanager
def reporting(progress: bool | Callable[[int, int], object], total: int) -> Iterator[Callable[[], object]]:
    """Yield a function to call after each of *total* steps.

    Args:
        progress: False reports nothing. A function is called with the number of finished steps and *total*. True draws
            a bar on stderr.
        total: The number of steps.

    Raises:
        ImportError: *progress* is True, and tqdm is not installed.
    """
    if callable(progress):
        steps = count(1)
        yield lambda: progress(next(steps), total)
    elif progress:
        with progress_bar(total, "ranking") as advance:
            yield advance
    else:
        yield lambda: None
