"""Bounds of the work of one request: how much is accepted, and until when scoring loops may run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cohere_rerank._clock import Deadline

MAX_WORK = 4_000_000_000
"""The most work of one request: query characters times document characters. A second of CPU is about a billion."""

MAX_QUERY_CHARS = 1_000
"""How many characters of a query the lexical scorer uses."""

_deadline: ContextVar[Deadline | None] = ContextVar("scoring deadline", default=None)


class ScoringTimeoutError(Exception):
    """The deadline passed while documents were scored."""


def work(query: str, documents: Sequence[str]) -> int:
    """Return the work of one request, in query characters times document characters."""
    return min(len(query), MAX_QUERY_CHARS) * sum(map(len, documents))


@contextmanager
def scoring_until(deadline: Deadline | None) -> Iterator[None]:
    """Set the deadline that `check_deadline` checks in this block and this thread. None means no deadline."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_deadline() -> None:
    """Stop the work if its deadline has passed. Scorers call this in their loops.

    Raises:
        ScoringTimeoutError: The deadline has passed.
    """
    deadline = _deadline.get()
    if deadline is not None and deadline.remaining() <= 0:
        raise ScoringTimeoutError(
            f"scoring took longer than {deadline.seconds:g} s; send fewer or shorter documents, or a shorter query"
        )
