"""Count the Python functions that run during a call: a measure of work that is the same on every machine."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

N_WARM_UP = 5  # calls that import modules, open the connection and fill caches


class _Counting:
    """Count the calls of Python functions in this thread, by name. A coroutine that is resumed counts again."""

    def __init__(self) -> None:
        self.functions: Counter[str] = Counter()

    def __enter__(self) -> Counter[str]:
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self.functions

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)
        self.functions.pop(_name(_Counting.__exit__.__code__), None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self.functions[_name(frame.f_code)] += 1


def _name(code: Any) -> str:
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_name}:{code.co_firstlineno}"


def calls_of(call: Callable[[], object]) -> Counter[str]:
    """Return how often each Python function runs during one warm call."""
    for _ in range(N_WARM_UP):
        call()
    with _Counting() as functions:
        call()
    return functions


def calls_of_async(call: Callable[[], Awaitable[object]]) -> Counter[str]:
    """As `calls_of`, for a call in a task. The functions of the event loop count too."""

    async def count() -> Counter[str]:
        for _ in range(N_WARM_UP):
            await call()
        with _Counting() as functions:
            await call()
        return functions

    return asyncio.run(count())
