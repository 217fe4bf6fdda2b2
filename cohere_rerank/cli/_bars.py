"""The progress bar of commands that rank one list after another, on a terminal. Its style is that of jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["step_bar"]


@contextmanager
def step_bar(label: str) -> Iterator[Callable[[int, int], object] | bool]:
    """Yield a function of the number of finished steps and their total, or False if there is no terminal."""
    if not sys.stderr.isatty():
        yield False
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)

        def step(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, description=f"{label}: {done:,} of {total:,}")

        yield step
