"""The usage of a client so far, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .cost.prices import cost_of

if TYPE_CHECKING:
    from ._counters import Name, UsageCounters
    from .cost.prices import Pricing


@dataclass(frozen=True, repr=False)
class ClientUsage:
    """The calls, requests and costs of a client and of its copies so far.

    Attributes:
        calls: Calls with documents that have ended, with success or with an error.
        failed_calls: Calls that ended with an error.
        requests: Requests sent, with retries and parts of split lists.
        retries: Retries among the requests.
        hedges: Second requests of ``hedge=`` among the requests. Their units are unknown if the first response counted.
        fallbacks: Calls that the fallback answered.
        circuit_open: Requests that an open circuit breaker did not send.
        cache_hits: Documents whose scores came from the cache.
        cache_misses: Documents whose scores were not in the cache.
        billed_units: Sums by kind (``"search_units"``, ``"input_tokens"``, ...), as the replies reported them. A kind
            that no reply reported is absent, because it is unknown and not 0.
        unbilled_replies: Successful replies that reported no units. With them, the sums may be too low.
        cost: The cost of these units in USD, as far as their prices are known. None if no price is known.
        unpriced_units: The sums of the units whose price is not known. They are not part of *cost*.
        estimated: With a budget, what calls were estimated to cost before they were sent, by unit (``"search_units"``,
            ``"usd"``). Only calls whose bill is known are counted.
        settled: The bills of the same calls. The difference between the two is the error of the estimates.
        by_tag: The same counts for each ``tag=``, and under None for calls without a tag. Empty in those counts.
    """

    calls: int = 0
    failed_calls: int = 0
    requests: int = 0
    retries: int = 0
    hedges: int = 0
    fallbacks: int = 0
    circuit_open: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    billed_units: dict[str, float] = field(default_factory=dict)
    unbilled_replies: int = 0
    cost: float | None = None
    unpriced_units: dict[str, float] = field(default_factory=dict)
    estimated: dict[str, float] = field(default_factory=dict)
    settled: dict[str, float] = field(default_factory=dict)
    by_tag: dict[str | None, ClientUsage] = field(default_factory=dict)

    def __repr__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if not self.by_tag.keys() - {None}:
            del values["by_tag"]  # without tags, it repeats the same counts
        if self.cost is None:
            del values["unpriced_units"]  # it repeats the billed units
        return f"ClientUsage({', '.join(f'{name}={value!r}' for name, value in values.items() if value)})"

    @property
    def search_units(self) -> float | None:
        """The search units billed, as the replies reported them. None if no reply reported any."""
        return self.billed_units.get("search_units")


def usage_from(counters: UsageCounters) -> ClientUsage:
    """Return the counts, in all and by tag."""
    by_tag: dict[str | None, dict[Name, float]] = {}
    in_all: dict[Name, float] = {}
    for (tag, name), amount in counters.totals().items():
        by_tag.setdefault(tag, {})[name] = amount
        in_all[name] = in_all.get(name, 0) + amount
    return _usage(in_all, {tag: _usage(counts, {}) for tag, counts in by_tag.items()})


def _usage(counts: dict[Name, float], by_tag: dict[str | None, ClientUsage]) -> ClientUsage:
    whole: dict[str, Any] = {}
    sums: dict[str, dict[str, float]] = {"estimated": {}, "settled": {}}
    billed: dict[str, float] = {}
    bills: dict[tuple[str | None, Pricing], dict[str, float]] = {}
    for name, amount in counts.items():
        if not isinstance(name, str):
            unit, model, pricing = name
            billed[unit] = billed.get(unit, 0) + amount
            bills.setdefault((model, pricing), {})[unit] = amount
        elif "." in name:
            kind, _, unit = name.partition(".")
            sums[kind][unit] = amount
        else:
            whole[name] = int(amount)
    cost, unpriced = _cost(bills)
    return ClientUsage(
        **whole,
        estimated=sums["estimated"],
        settled=sums["settled"],
        billed_units=billed,
        cost=cost,
        unpriced_units=unpriced,
        by_tag=by_tag,
    )


def _cost(bills: dict[tuple[str | None, Pricing], dict[str, float]]) -> tuple[float | None, dict[str, float]]:
    """Return the cost in USD, and the units whose price is not known."""
    cost: float | None = None
    unpriced: dict[str, float] = {}
    for (model, pricing), units in bills.items():
        part = cost_of(units, model, pricing)
        if part is not None:
            cost = (cost or 0.0) + part
            continue
        for unit, amount in units.items():
            unpriced[unit] = unpriced.get(unit, 0) + amount
    return cost, unpriced
