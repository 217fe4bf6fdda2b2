"""What models cost in USD. Pure.

No page of Cohere was read for these prices. They come from LiteLLM's price map, so each says that it is second-hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cohere_rerank._validators import describe, number
from cohere_rerank._wire.contract import DEFAULT_V1_MODEL
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    Pricing = tuple["PriceTable | None", bool]  # the caller's prices, and whether PRICES apply to the address

__all__ = ["PRICES", "Price", "PriceTable", "cost_of", "price_of"]

_FIELDS = ("per_search_unit", "per_million_tokens", "as_of", "source")
_TOKENS = ("input_tokens", "text_tokens")  # names of tokens among billed units; the first that is reported counts


@dataclass(frozen=True)
class Price:
    """The price of a model in USD. If it has two parts, both are charged.

    Args:
        per_search_unit: USD for a search unit, >= 0. Default: None, search units cost nothing.
        per_million_tokens: USD for a million input tokens, >= 0. Default: None, tokens cost nothing.
        as_of: The date of the price, such as ``"2026-11-29"``. Default: None.
        source: Where the price was read. Default: None.

    Raises:
        InvalidRequestError: Both prices are missing, or a value has the wrong type or is out of its range.
    """

    per_search_unit: float | None = None
    per_million_tokens: float | None = None
    as_of: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        amounts = [_amount(name, getattr(self, name)) for name in ("per_search_unit", "per_million_tokens")]
        if amounts == [None, None]:
            raise InvalidRequestError("a Price needs per_search_unit= or per_million_tokens=, in USD")
        for name in ("as_of", "source"):
            value: Any = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InvalidRequestError(f"{name} of a Price must be a text, got {describe(value)}")

    def cost(self, units: Mapping[str, float]) -> float | None:
        """Return the cost of billed units in USD. None if a unit that has a price is not among them.

        Args:
            units: Amounts by the names of ``billed_units``: ``"search_units"``, ``"input_tokens"``.
        """
        total = 0.0
        if self.per_search_unit is not None:
            if "search_units" not in units:
                return None
            total += units["search_units"] * self.per_search_unit
        if self.per_million_tokens is not None:
            n_tokens = next((units[name] for name in _TOKENS if name in units), None)
            if n_tokens is None:
                return None
            total += n_tokens * self.per_million_tokens / 1e6
        return total


def _amount(name: str, value: Any) -> float | None:
    amount = number(f"{name} of a Price", value)
    if amount is not None and not 0 <= amount < float("inf"):
        raise InvalidRequestError(f"{name} of a Price must be at least 0 and finite, got {amount}")
    return amount


_SOURCE = "LiteLLM's price map, second-hand"


def _per_unit(usd: float) -> Price:
    return Price(per_search_unit=usd, as_of="2026-11-29", source=_SOURCE)


def _per_million(usd: float) -> Price:
    return Price(per_million_tokens=usd, as_of="2026-11-29", source=_SOURCE)


PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "rerank-v5.0-pro": _per_million(0.05),
        "rerank-v5.0-fast": _per_million(0.02),
        "rerank-v4.0-pro": _per_unit(0.0025),
        "rerank-v4.0-fast": _per_unit(0.002),
        "rerank-v3.5": _per_unit(0.002),
        "rerank-english-v3.0": _per_unit(0.002),
        "rerank-multilingual-v3.0": _per_unit(0.002),
    }
)
"""The prices by model that apply to Cohere's own addresses, each with its date and its source."""


class PriceTable:
    """The checked ``prices=`` of a client. Copies of the client share it, so it is compared by identity.

    Args:
        prices: A Price for each model, or a mapping of its arguments.

    Raises:
        InvalidRequestError: A name or a price is not valid.
    """

    __slots__ = ("by_model",)

    def __init__(self, prices: Any) -> None:
        if not isinstance(prices, Mapping):
            raise InvalidRequestError(
                f"prices must be a mapping of models to prices, such as {{'rerank-v3.5': Price(per_search_unit=0.002)}}"
                f", got {describe(prices)}"
            )
        self.by_model = {_checked_model(model): _checked_price(model, price) for model, price in prices.items()}


def _checked_model(model: Any) -> str:
    if not isinstance(model, str):
        raise InvalidRequestError(f"prices must have names of models as keys, got {describe(model)}")
    return model


def _checked_price(model: str, price: Any) -> Price:
    if isinstance(price, Price):
        return price
    if not isinstance(price, Mapping):
        raise InvalidRequestError(f"prices must have a Price for {model!r}, got {describe(price)}")
    unknown = sorted(str(name) for name in price if name not in _FIELDS)
    if unknown:
        raise InvalidRequestError(
            f"the price of {model!r} has no field {', '.join(unknown)}; the fields are {', '.join(_FIELDS)}"
        )
    return Price(**price)


def price_of(model: str | None, pricing: Pricing) -> Price | None:
    """Return the price of a model, or None if it is not known. The caller's own price has priority.

    Args:
        model: The name that was sent. None: none was sent, and the API chose its default.
        pricing: The caller's prices, and whether PRICES apply to the address.
    """
    own, is_listed = pricing
    name = DEFAULT_V1_MODEL if model is None else model
    found = None if own is None else own.by_model.get(name)
    return PRICES.get(name) if found is None and is_listed else found


def cost_of(units: Mapping[str, float], model: str | None, pricing: Pricing) -> float | None:
    """Return the cost of billed units in USD, or None if it is not known. No units are free, whatever the price."""
    if units and not any(units.values()):
        return 0.0
    price = price_of(model, pricing)
    return None if price is None else price.cost(units)
