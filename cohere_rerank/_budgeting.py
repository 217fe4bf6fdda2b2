"""Keep the calls of a client within its budget: reserve an estimate, send, and replace the estimate by the bill."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ._wire.contract import DEFAULT_MAX_TOKENS_PER_DOC
from .cost.estimate import estimate_parts
from .cost.prices import cost_of, price_of
from .errors import BudgetExceededError, InvalidRequestError, InvalidResponseError, RateLimitStoreError
from .limits.budget import amounts
from .limits.spending import BILLIONTHS, Amounts, period_bounds
from .types.response import billed_units_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from ._clock import Clock
    from ._wire.call import Call, Part
    from .cost.prices import Pricing
    from .limits.budget import Budget
    from .limits.spending import Reservation
    from .types import V2RerankResponse

_log = logging.getLogger("cohere_rerank")


@dataclass(frozen=True)
class _Reserved:
    """The reservation for one call.

    Attributes:
        call: The call.
        units: The estimate by the names of billed units.
        usd: The estimate in USD. None if the price is not known, and the budget does not need it.
        amounts: What was reserved.
        period_s: The period of the budget in which it was reserved.
        n_replies: How many replies the call had before.
    """

    call: Call
    units: dict[str, float]
    usd: float | None
    amounts: Amounts
    period_s: int
    n_replies: int

    @property
    def replies(self) -> list[tuple[int, V2RerankResponse]]:
        """The replies since the reservation, each with the number of its documents."""
        replies: list[tuple[int, V2RerankResponse]] = self.call.trace.replies[self.n_replies :]
        return replies


class BudgetGuard:
    """Lets the calls of a client through while its budget allows them.

    Args:
        budget: The budget.
        pricing: The prices of the client.
        clock: Tells the time.
        count: Adds to a count of ``client.usage``.
    """

    def __init__(self, budget: Budget, pricing: Pricing, clock: Clock, count: Callable[[str, float], object]) -> None:
        self._budget = budget
        self._pricing = pricing
        self._clock = clock
        self._count = count

    @contextmanager
    def reserved(self, call: Call, parts: Sequence[Part]) -> Iterator[None]:
        """Send a call inside this block.

        Raises:
            BudgetExceededError: The budget does not allow the call.
            InvalidRequestError: The budget is in USD, and the price of the model is not known.
            RateLimitStoreError: The store of the budget cannot answer.
        """
        units, usd, wanted, now_s = self._wanted(call, parts)
        reservation = self._budget.counts.reserve(self._budget.per, self._budget.limits, wanted, now_s)
        reserved = self._checked(call, units, usd, wanted, reservation, now_s)
        try:
            yield
        except BaseException as error:
            self._correct(reserved.period_s, self._change(reserved, error))
            raise
        self._correct(reserved.period_s, self._change(reserved))

    @asynccontextmanager
    async def reserved_async(self, call: Call, parts: Sequence[Part]) -> AsyncIterator[None]:
        """Do the same as `reserved` in a task."""
        from anyio import CancelScope, to_thread

        if self._budget.store is None:
            with self.reserved(call, parts):
                yield
            return
        units, usd, wanted, now_s = self._wanted(call, parts)
        counts = await to_thread.run_sync(lambda: self._budget.counts)
        arguments = (self._budget.per, self._budget.limits, wanted, now_s)
        reservation = await to_thread.run_sync(counts.reserve, *arguments)
        reserved = self._checked(call, units, usd, wanted, reservation, now_s)
        try:
            yield
        except BaseException as error:
            with CancelScope(shield=True):  # a cancelled call releases its reservation too
                await to_thread.run_sync(self._correct, reserved.period_s, self._change(reserved, error))
            raise
        await to_thread.run_sync(self._correct, reserved.period_s, self._change(reserved))

    def _wanted(self, call: Call, parts: Sequence[Part]) -> tuple[dict[str, float], float | None, Amounts, float]:
        """Return the estimate of a call in units and in USD, what to reserve for it, and the time."""
        body, edges = call.body, [(part.start, part.end) for part in parts]
        most_tokens = body.get("max_tokens_per_doc") or DEFAULT_MAX_TOKENS_PER_DOC
        units = estimate_parts(body["query"], call.texts, edges, most_tokens).billed_units
        price = price_of(body.get("model"), self._pricing)
        usd = None if price is None else price.cost(units)
        if usd is None and self._budget.usd is not None:
            raise InvalidRequestError(
                f"the price of the model {body.get('model')!r} is not known, and the budget is in USD; pass "
                "prices={model: Price(...)} to the client"
            )
        return units, usd, amounts(usd, units["search_units"]), self._clock.time()

    def _checked(
        self,
        call: Call,
        units: dict[str, float],
        usd: float | None,
        wanted: Amounts,
        reservation: Reservation,
        now_s: float,
    ) -> _Reserved:
        if not reservation.is_granted:
            raise _budget_error(self._budget, reservation.spent, wanted, now_s)
        return _Reserved(call, units, usd, wanted, reservation.period_s, len(call.trace.replies))

    def _change(self, reserved: _Reserved, error: BaseException | None = None) -> Amounts:
        """Return the difference between the bill and the reservation, and count both for ``client.usage``.

        A call that failed is billed for the parts that were answered. A reply that breaks the contract was answered
        too, and its bill is not known, so the estimate stays.
        """
        if isinstance(error, InvalidResponseError):
            return Amounts()
        n_documents = len(reserved.call.texts)
        usd, units, is_known = 0.0, 0.0, error is None
        for n_part, response in reserved.replies:
            share = n_part / n_documents
            billed = billed_units_of(response)
            cost = cost_of(billed, reserved.call.body.get("model"), self._pricing)
            is_known = is_known and "search_units" in billed and (cost is not None or reserved.usd is None)
            usd += share * (reserved.usd or 0.0) if cost is None else cost
            units += billed.get("search_units", share * reserved.units["search_units"])
        if is_known:
            self._count_estimate("search_units", reserved.units["search_units"], units)
            if reserved.usd is not None:
                self._count_estimate("usd", reserved.usd, usd)
        bill = amounts(usd, units)
        return Amounts(bill.usd - reserved.amounts.usd, bill.units - reserved.amounts.units)

    def _count_estimate(self, unit: str, estimate: float, bill: float) -> None:
        self._count(f"estimated.{unit}", estimate)
        self._count(f"settled.{unit}", bill)

    def _correct(self, period_s: int, change: Amounts) -> None:
        try:
            if any(change):
                self._budget.counts.correct(period_s, change)
        except RateLimitStoreError as error:  # the call itself has its response
            _log.warning("could not replace an estimate by its bill; the estimate stays counted: %s", error)


def _budget_error(budget: Budget, spent: Amounts, wanted: Amounts, now_s: float) -> BudgetExceededError:
    rows = zip(("usd", "search_units"), budget.limits, spent, wanted)
    unit, most, used, needed = next(
        (unit, limit, used, needed) for unit, limit, used, needed in rows if limit is not None and used + needed > limit
    )
    next_s = period_bounds(budget.per, now_s)[1]
    name = "USD" if unit == "usd" else "search units"
    limit, used_up, estimate = (each / BILLIONTHS for each in (most, used, needed))
    period = "in total" if next_s is None else f"per {budget.per}"
    advice = "raise the budget"
    if next_s is not None:
        advice += f", or wait until {datetime.fromtimestamp(next_s, timezone.utc):%Y-%m-%d %H:%M} UTC"
    error = BudgetExceededError(
        f"the budget of {limit:g} {name} {period} does not allow this call: {used_up:g} {name} are spent or reserved "
        f"for calls in flight, and this call needs about {estimate:g}; {advice}"
    )
    error.unit, error.limit, error.spent, error.estimate = unit, limit, used_up, estimate
    error.resets_in_s = None if next_s is None else next_s - now_s
    return error
