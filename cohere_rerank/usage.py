"""The usage of a client so far, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from ._counters import BILLED

if TYPE_CHECKING:
    from ._counters import UsageCounters


@dataclass(frozen=True, repr=False)
class ClientUsage:
    """The calls, requests and costs of a client and of its copies so far.

    Attributes:
        calls: Calls with documents that have ended, with success or with an error.
        failed_calls: Calls that ended with an error.
        requests: Requests sent, with retries and parts of split lists.
        retries: Retries among the requests.
        hedges: Second requests of ``hedge=`` among the requests. Their units are unknown if the first answer counted.
        fallbacks: Calls that the fallback answered.
        circuit_open: Requests that an open circuit breaker did not send.
        cache_hits: Documents whose scores came from the cache.
        cache_misses: Documents whose scores were not in the cache.
        billed_units: Sums by kind (``"search_units"``, ``"input_tokens"``, ...), as the replies reported them. A kind
            that no reply reported is absent, because it is unknown and not 0.
        unbilled_replies: Successful replies that reported no units. With them, the sums may be too low.
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
    by_tag: dict[str | None, ClientUsage] = field(default_factory=dict)

    def __repr__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if not self.by_tag.keys() - {None}:
            del values["by_tag"]  # without tags, it repeats the same counts
        return f"ClientUsage({', '.join(f'{name}={value!r}' for name, value in values.items() if value)})"

    @property
    def search_units(self) -> float | None:
        """The search units billed, as the replies reported them. None if no reply reported any."""
        return self.billed_units.get("search_units")


def usage_from(counters: UsageCounters) -> ClientUsage:
    """Return the counts, in all and by tag."""
    by_tag: dict[str | None, dict[str, float]] = {}
    in_all: dict[str, float] = {}
    for (tag, name), amount in counters.totals().items():
        by_tag.setdefault(tag, {})[name] = amount
        in_all[name] = in_all.get(name, 0) + amount
    return _usage(in_all, {tag: _usage(counts, {}) for tag, counts in by_tag.items()})


def _usage(counts: dict[str, float], by_tag: dict[str | None, ClientUsage]) -> ClientUsage:
    billed = {name.removeprefix(BILLED): amount for name, amount in counts.items() if name.startswith(BILLED)}
    whole = {name: int(amount) for name, amount in counts.items() if not name.startswith(BILLED)}
    return ClientUsage(**whole, billed_units=billed, by_tag=by_tag)
