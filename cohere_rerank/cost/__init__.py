"""Estimates of search units, and prices.

>>> from cohere_rerank.cost import estimate_search_units
>>> estimate_search_units("a question", ["a document"]).cost("rerank-v4.0-fast")
0.002
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .estimate import SearchUnitsEstimate as SearchUnitsEstimate
    from .estimate import estimate_search_units as estimate_search_units
    from .prices import PRICES as PRICES
    from .prices import Price as Price

_EXPORTS = {
    "PRICES": "prices",
    "Price": "prices",
    "SearchUnitsEstimate": "estimate",
    "estimate_search_units": "estimate",
}
__all__ = ["PRICES", "Price", "SearchUnitsEstimate", "estimate_search_units"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
