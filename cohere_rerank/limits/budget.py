"""How much calls may cost in a period. A value, validated once, and the count of what was spent."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from math import ceil
from typing import Any, Literal, Protocol

from cohere_rerank._validators import choice, describe, number
from cohere_rerank.errors import InvalidRequestError

from .spending import BILLIONTHS, MAX_AMOUNT, NOTHING, PERIODS, Amounts, Reservation, Spending, period_bounds

__all__ = ["Budget", "BudgetStore", "Spent"]


class BudgetStore(Protocol):
    """Counts what all that share a budget have spent. Both methods run in a worker thread if a task calls them."""

    def reserve(self, per: str, limits: tuple[int | None, int | None], wanted: Amounts, now_s: float) -> Reservation:
        """As `Spending.reserve`, in one atomic step.

        Raises:
            RateLimitStoreError: The store cannot answer.
        """
        ...

    def correct(self, period_s: int, change: Amounts) -> None:
        """As `Spending.correct`, in one atomic step.

        Raises:
            RateLimitStoreError: The store cannot answer.
        """
        ...


@dataclass(frozen=True)
class Spent:
    """What was spent of a budget in its current period. Calls in flight are included by estimate.

    Attributes:
        usd: USD. 0.0 if the budget has no limit in USD.
        units: Search units.
        resets_at: When the next period begins, in UTC. None for ``per="total"``.
    """

    usd: float
    units: float
    resets_at: datetime | None


class Budget:
    """A limit for what calls cost in a period. The call that would exceed it raises BudgetExceededError unsent.

    The estimate of a call is reserved before it is sent. Its bill replaces the estimate afterwards, and a call that
    failed releases it. So calls in flight cannot exceed the budget together, unless their bills exceed their estimates.
    All clients, threads and tasks that hold the same object share the budget.

    Args:
        usd: USD in a period, >= 0. It needs the price of the model; see ``prices`` of the client. Default: None, no
            limit in USD.
        units: Search units in a period, >= 0. Models that are billed by tokens need *usd*. Default: None, no limit in
            search units.
        per: The period: ``"hour"``, ``"day"``, ``"month"`` (each of UTC), or ``"total"``. Default: ``"day"``.
        store: Where the amounts are counted if other processes share the budget: a FileStore or a RedisStore of its
            own, or an object whose method ``budget_store`` returns a BudgetStore. Default: None, in this process.

    Raises:
        InvalidRequestError: A value is missing, of the wrong type or out of its range.

    >>> Budget(usd=5, per="day")
    Budget(usd=5.0, per='day')
    """

    def __init__(
        self,
        *,
        usd: float | None = None,
        units: float | None = None,
        per: Literal["hour", "day", "month", "total"] = "day",
        store: Any = None,
    ) -> None:
        self.usd = _amount("usd", usd)
        self.units = _amount("units", units)
        if self.usd is None and self.units is None:
            raise InvalidRequestError("a Budget needs usd= or units=")
        if choice("per", per, PERIODS) is None:
            raise InvalidRequestError("per must be 'hour', 'day', 'month' or 'total', got None")
        self.per = per
        if store is not None and not hasattr(store, "budget_store"):
            raise InvalidRequestError(f"store of a Budget must be a FileStore or a RedisStore, got {describe(store)}")
        self.store = store
        self._memory = _Memory()

    @property
    def counts(self) -> BudgetStore:
        """Where the amounts are counted."""
        return self._memory if self.store is None else self.store.budget_store()

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """The limits in billionths."""
        usd, units = (None if each is None else round(each * BILLIONTHS) for each in (self.usd, self.units))
        return usd, units

    def spent(self) -> Spent:
        """Return what was spent in the current period. Do not call it in an event loop if the budget has a store.

        Raises:
            RateLimitStoreError: The store cannot answer.
        """
        from time import time

        now_s = time()
        usd, units = self.counts.reserve(self.per, (None, None), NOTHING, now_s).spent
        next_s = period_bounds(self.per, now_s)[1]
        resets_at = None if next_s is None else datetime.fromtimestamp(next_s, timezone.utc)
        return Spent(usd / BILLIONTHS, units / BILLIONTHS, resets_at)

    def __repr__(self) -> str:
        given = {"usd": self.usd, "units": self.units, "per": self.per, "store": self.store}
        return f"Budget({', '.join(f'{name}={value!r}' for name, value in given.items() if value is not None)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The amounts of this process are not pickled: another process counts its own, or shares a store.
        return _rebuild, (self.usd, self.units, self.per, self.store)

    def __copy__(self) -> Budget:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Budget:
        return self


def _rebuild(usd: float | None, units: float | None, per: Any, store: Any) -> Budget:
    return Budget(usd=usd, units=units, per=per, store=store)


def amounts(usd: float | None, units: float) -> Amounts:
    """Return amounts in billionths, rounded up. A reply can report any amount, so there is an upper bound."""
    return Amounts(*(ceil(min(each * BILLIONTHS, MAX_AMOUNT)) for each in (usd or 0.0, units)))


def _amount(name: str, value: Any) -> float | None:
    amount = number(f"{name} of a Budget", value)
    if amount is not None and not 0 <= amount <= 1e6:
        raise InvalidRequestError(f"{name} of a Budget must be between 0 and 1,000,000, got {amount:g}")
    return amount


class _Memory:
    """Counts in this process. A forked process continues with the amounts of its parent, on its own."""

    def __init__(self) -> None:
        self._spending = Spending()
        self._lock, self._pid = threading.Lock(), os.getpid()

    def reserve(self, per: str, limits: tuple[int | None, int | None], wanted: Amounts, now_s: float) -> Reservation:
        with self._own_lock():
            return self._spending.reserve(per, limits, wanted, now_s)

    def correct(self, period_s: int, change: Amounts) -> None:
        with self._own_lock():
            self._spending.correct(period_s, change)

    def _own_lock(self) -> threading.Lock:
        if self._pid != os.getpid():  # a thread of the parent may have held the lock during the fork
            self._lock, self._pid = threading.Lock(), os.getpid()
        return self._lock
