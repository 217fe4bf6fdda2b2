"""What was spent of a budget in its current period. Pure: the caller passes in every time.

Amounts are whole billionths of a USD and of a search unit, so that no sum depends on the order of its parts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

__all__ = ["BILLIONTHS", "NOTHING", "PERIODS", "Amounts", "Reservation", "Spending", "period_bounds"]

BILLIONTHS = 10**9
PERIODS = ("hour", "day", "month", "total")

_SECONDS = {"hour": 3600, "day": 86_400}
_MAGIC = b"crbudget"
_FORM = struct.Struct("<qqq")
MAX_AMOUNT = 2**53  # the largest whole number that all stores hold exactly: nine million USD


class Amounts(NamedTuple):
    """Billionths of a USD and of a search unit."""

    usd: int = 0
    units: int = 0


NOTHING = Amounts()


class Reservation(NamedTuple):
    """The result of a reservation.

    Attributes:
        is_granted: Whether the amounts were reserved.
        period_s: When the period of the budget began, in seconds since the epoch.
        spent: What was spent or reserved in this period before.
    """

    is_granted: bool
    period_s: int
    spent: Amounts


def period_bounds(per: str, now_s: float) -> tuple[int, int | None]:
    """Return when the period that contains a time began, and when the next one begins, in seconds since the epoch.

    Periods are those of UTC. The period ``"total"`` began at 0, and there is no next one.
    """
    if per == "total":
        return 0, None
    if per != "month":
        start_s = int(now_s // _SECONDS[per]) * _SECONDS[per]
        return start_s, start_s + _SECONDS[per]
    start = datetime.fromtimestamp(now_s, timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    year, month = divmod(start.month, 12)
    end = start.replace(year=start.year + year, month=month + 1)
    return int(start.timestamp()), int(end.timestamp())


@dataclass
class Spending:
    """The amounts of one period. A reservation counts as spent, until `correct` replaces it by what was billed."""

    period_s: int = -1
    spent: Amounts = field(default=NOTHING)

    @classmethod
    def from_bytes(cls, content: bytes) -> Spending:
        """Return the state in the content of a file. For an empty or a damaged file, return a new state.

        Raises:
            ValueError: The content is not a state of a budget.
        """
        if not content:
            return cls()
        if not content.startswith(_MAGIC):
            raise ValueError("it is not a file of a budget")
        if len(content) < cls.max_bytes():
            return cls()
        period_s, usd, units = _FORM.unpack_from(content, len(_MAGIC))
        return cls(period_s, _bounded(usd, units))

    @staticmethod
    def max_bytes() -> int:
        """Return how much of a file needs to be read."""
        return len(_MAGIC) + _FORM.size

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return _MAGIC + _FORM.pack(self.period_s, *self.spent)

    def reserve(self, per: str, limits: tuple[int | None, int | None], wanted: Amounts, now_s: float) -> Reservation:
        """Reserve amounts if the budget allows them.

        Args:
            per: The period of the budget.
            limits: The budget in billionths of a USD and of a search unit. None: that unit has no limit.
            wanted: What to reserve.
            now_s: Seconds since the epoch.
        """
        start_s, next_s = period_bounds(per, now_s)
        # Another process may be a moment ahead. A period that is farther ahead comes from a clock that was wrong.
        if self.period_s not in (start_s, next_s):
            self.period_s, self.spent = start_s, NOTHING
        before = self.spent
        pairs = zip(before, wanted, limits)
        is_granted = all(limit is None or spent + amount <= limit for spent, amount, limit in pairs)
        if is_granted:
            self._add(wanted)
        return Reservation(is_granted, self.period_s, before)

    def correct(self, period_s: int, change: Amounts) -> None:
        """Add what a call cost more than was reserved for it; less is below 0. A period that is over is not changed."""
        if self.period_s == period_s:
            self._add(change)

    def _add(self, change: Amounts) -> None:
        self.spent = _bounded(self.spent.usd + change.usd, self.spent.units + change.units)


def _bounded(usd: int, units: int) -> Amounts:
    return Amounts(min(max(usd, 0), MAX_AMOUNT), min(max(units, 0), MAX_AMOUNT))
