"""Which event loop runs, and the connections that belong to its kind."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def current_loop_token() -> Any:
    """Return the identity of the running event loop: asyncio's loop, or the token of trio's run."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if "trio" not in sys.modules:
            raise
        return sys.modules["trio"].lowlevel.current_trio_token()


def is_asyncio(loop: Any) -> bool:
    """Return whether a loop is one of asyncio."""
    return hasattr(loop, "call_soon_threadsafe")


def backend_of(loop: Any) -> Any:
    """Return the module with the functions for this kind of event loop."""
    if is_asyncio(loop):
        from . import asyncio_backend

        return asyncio_backend
    from . import trio_connection

    return trio_connection
