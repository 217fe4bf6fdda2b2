"""Counting what a client used, from many threads and tasks, without a lock that a fork could leave held."""

from __future__ import annotations

from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .types import V2RerankResponse

    Counts = dict[tuple[str | None, str], float]

BILLED = "billed_units."  # what kinds of units are counted under


class UsageCounters:
    """Sums by (tag, name). Each thread adds to its own; reading adds them up."""

    __slots__ = ("_by_thread",)

    def __init__(self) -> None:
        self._by_thread: dict[int, Counts] = {}

    def add(self, tag: str | None, name: str, amount: float = 1) -> None:
        """Count *amount* more of *name*."""
        counts = self._by_thread.get(get_ident())
        if counts is None:
            counts = self._by_thread.setdefault(get_ident(), {})
        key = (tag, name)
        counts[key] = counts.get(key, 0) + amount

    def add_billed(self, tag: str | None, response: V2RerankResponse) -> None:
        """Count what a reply says it is billed for; one that does not say so is counted as that."""
        units = response.meta.billed_units if response.meta is not None else None
        kinds = [] if units is None else _amounts(units)
        if not kinds:
            self.add(tag, "unbilled_replies")
        for name, value in kinds:
            self.add(tag, BILLED + name, value)

    def totals(self) -> Counts:
        """All threads' counts, added up."""
        totals: Counts = {}
        for counts in list(self._by_thread.values()):
            for key, amount in counts.copy().items():
                totals[key] = totals.get(key, 0) + amount
        return totals


def _amounts(units: Any) -> list[tuple[str, float]]:
    """Every kind of unit with its amount, kinds unknown to this release too."""
    declared = [(name, getattr(units, name)) for name in type(units).__dataclass_fields__]
    return [(name, value) for name, value in (*declared, *vars(units).items()) if isinstance(value, (int, float))]
