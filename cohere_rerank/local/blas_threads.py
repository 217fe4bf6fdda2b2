"""Limit numpy's matrix products to one thread while a scorer works.

The matrices of a scorer are small. With one thread for each core, the threads mostly wait for each other.

The library threadpoolctl does not do this: only one Python thread at a time can set its limit, and the limit ends with
the block of that thread, although other threads may still score.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from cohere_rerank._extras import require

__all__ = ["one_blas_thread"]

# The wheels of numpy rename the functions of OpenBLAS, each release in one of these ways.
_AFFIXES = tuple(product(("scipy_", ""), ("64_", "_64", "")))


class _OneThread:
    """Sets the number of threads of the process to one while at least one block runs, and restores it afterwards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_blocks = 0
        self._n_threads = 1  # before the first block
        self._functions: tuple[Callable[[], int], Callable[[int], object]] | None = None

    def enter(self) -> None:
        with self._lock:
            self._n_blocks += 1
            if self._n_blocks == 1:
                self._functions = self._functions or _openblas_functions()
                get, set_ = self._functions
                self._n_threads = get()
                if self._n_threads > 1:
                    set_(1)

    def leave(self) -> None:
        with self._lock:
            self._n_blocks -= 1
            if self._n_blocks == 0 and self._functions is not None and self._n_threads > 1:
                self._functions[1](self._n_threads)


def _openblas_functions() -> tuple[Callable[[], int], Callable[[int], object]]:
    """Return the functions that get and set the number of threads of numpy's OpenBLAS.

    They do nothing if numpy uses another library. Of these, Accelerate needs no limit.
    """
    numpy = require("numpy", "semantic", "local:semantic")
    core = sys.modules.get("numpy._core._multiarray_umath") or sys.modules.get("numpy.core._multiarray_umath")
    # A symbol is also found in the libraries that this one depends on, except on Windows.
    paths = [] if core is None else [str(core.__file__)]
    paths += map(str, Path(numpy.__file__).parent.with_name("numpy.libs").glob("*openblas*.dll"))
    for path, (prefix, suffix) in product(paths, _AFFIXES):
        try:
            library = ctypes.CDLL(path)
            get = getattr(library, f"{prefix}openblas_get_num_threads{suffix}")
            return get, getattr(library, f"{prefix}openblas_set_num_threads{suffix}")
        except (OSError, AttributeError):
            continue
    return (lambda: 1), (lambda _: None)


_one_thread = _OneThread()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy use one thread for matrix products in this block, in the whole process. Blocks may be parallel."""
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()
