"""What a client and the copies made of it hold in common."""

from __future__ import annotations

from ._ledger import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from ._dialects import Dialect
    from ._retry import RetryBudget

    T = TypeVar("T")


class Shared:
    """One pool, one retry budget, one count of what was used; the first two are made at the first need."""

    __slots__ = ("_pool", "budget", "dialects", "has_outage", "is_closed", "ledger")

    def __init__(self) -> None:
        self._pool: dict[str, Any] = {}
        self.budget: RetryBudget | None = None
        self.dialects: dict[tuple[str, str], Dialect] = {}  # found out, by setting and address
        self.has_outage = False
        self.is_closed = False
        self.ledger = Ledger()

    @property
    def http(self) -> Any:
        """The pool's shell, or None before the first call."""
        return self._pool.get("http")

    def use(self, http: T) -> T:
        """Take this one as the pool's shell, unless another thread was first; whichever it is (one step)."""
        return self._pool.setdefault("http", http)  # type: ignore[no-any-return]
