"""The budget of a job: what rows in flight are estimated to cost, and how good the estimates were. No network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cohere_rerank.cost.prices import price_of

from .errors import JobError
from .rows import Row, estimated_bill

if TYPE_CHECKING:
    from cohere_rerank.cost.prices import Pricing

__all__ = ["JobBudget"]


class JobBudget:
    """Reserves an estimate for each row in flight.

    Args:
        max_units: The budget in search units. None: no limit.
        max_usd: The budget in USD. None: no limit.
        pricing: The prices of the client.

    Attributes:
        units_above_estimate: Search units that the rows of this run cost more than estimated; less is below 0.
        usd_above_estimate: The same in USD.
    """

    def __init__(self, max_units: float | None, max_usd: float | None, pricing: Pricing) -> None:
        self._max_units = max_units
        self._max_usd = max_usd
        self._pricing = pricing
        self._reserved: dict[int, tuple[float, float]] = {}  # search units and USD, by row number
        self.units_above_estimate = 0.0
        self.usd_above_estimate = 0.0

    @property
    def is_limited(self) -> bool:
        """Whether there is a budget at all. Without one, nothing is estimated."""
        return self._max_units is not None or self._max_usd is not None

    def reserve(self, row: Row, spent_units: float, spent_usd: float) -> str | None:
        """Reserve the estimate of a row. Return None, or why the budget does not allow it.

        Args:
            row: The row.
            spent_units: Search units of all rows that are done.
            spent_usd: USD of all rows that are done.

        Raises:
            JobError: The budget is in USD, and the price of the row's model is not known.
        """
        if not self.is_limited:
            return None
        bill = estimated_bill(row)
        units, usd = bill.get("search_units", 0.0), self._usd(row, bill)
        n_units, n_usd = (sum(amounts) for amounts in zip((0.0, 0.0), *self._reserved.values()))
        for most, spent, reserved, wanted, name in (
            (self._max_units, spent_units, n_units, units, "search units"),
            (self._max_usd, spent_usd, n_usd, usd, "USD"),
        ):
            # Rounded: a sum of many prices is not exact, and the last row that fits must be sent.
            if most is not None and round(spent + reserved + wanted, 9) > most:
                used = f"{spent:g} were spent, {reserved:g} are reserved by estimate for rows in flight"
                return f"the next row would exceed the budget of {most:g} {name}: {used}"
        self._reserved[row.number] = (units, usd)
        return None

    def settle(self, row: Row, record: Mapping[str, Any]) -> None:
        """Release the reservation of a row, and compare it with the bill in its record, if there is one."""
        units, usd = self._reserved.pop(row.number, (0.0, 0.0))
        billed = record.get("billed_units", {}).get("search_units")
        if billed is not None and self.is_limited:
            self.units_above_estimate += billed - units
        if "cost_usd" in record and self.is_limited:
            self.usd_above_estimate += record["cost_usd"] - usd

    def _usd(self, row: Row, bill: Mapping[str, float]) -> float:
        model = row.request.get("model")
        price = price_of(model, self._pricing) if bill else None
        usd = None if price is None else price.cost(bill)
        if usd is None and bill and self._max_usd is not None:
            raise JobError(
                f"{row.place}: the price of the model {model!r} is not known, so budget_usd cannot count it; pass its "
                "price as prices= of the client, or use budget_units"
            )
        return usd or 0.0
