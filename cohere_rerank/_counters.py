"""Counters of what a client used, for many threads and tasks.

They have no lock, because a fork could leave a lock held in the child.
"""

from __future__ import annotations

from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cost.prices import Pricing
    from .types import V2RerankResponse

    # Names of counts, or what was billed: the kind of unit, the model and the prices.
    Name = str | tuple[str, str | None, Pricing]
    Counts = dict[tuple[str | None, Name], float]

_INF = float("inf")


class UsageCounters:
    """Sums by (tag, name). Each thread has its own sums, and `totals` adds them up."""

    __slots__ = ("_by_thread",)

    def __init__(self) -> None:
        self._by_thread: dict[int, Counts] = {}

    def add(self, tag: str | None, name: Name, amount: float = 1) -> None:
        """Add *amount* to the counter *name*."""
        counts = self._by_thread.get(get_ident())
        if counts is None:
            counts = self._by_thread.setdefault(get_ident(), {})
        key = (tag, name)
        counts[key] = counts.get(key, 0) + amount

    def add_billed(self, tag: str | None, response: V2RerankResponse, model: str | None, pricing: Pricing) -> None:
        """Count the units that a reply reports. A reply without units is counted as an unbilled reply."""
        meta, is_billed = response.meta, False
        units = None if meta is None else meta.billed_units
        if units is not None:
            for name in units._field_names:
                value = getattr(units, name)
                if value is not None and 0 <= value < _INF:  # another amount is not known
                    self.add(tag, (name, model, pricing), value)
                    is_billed = True
            for name, extra in vars(units).items():  # kinds that this release does not know
                if isinstance(extra, (int, float)) and 0 <= extra < _INF:
                    self.add(tag, (name, model, pricing), extra)
                    is_billed = True
        if not is_billed:
            self.add(tag, "unbilled_replies")

    def totals(self) -> Counts:
        """Return the counts of all threads, added up."""
        totals: Counts = {}
        for counts in list(self._by_thread.values()):
            for key, amount in counts.copy().items():
                totals[key] = totals.get(key, 0) + amount
        return totals
