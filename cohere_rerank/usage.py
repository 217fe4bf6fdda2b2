"""What a client has used so far, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._counters import BILLED

if TYPE_CHECKING:
    from ._counters import UsageCounters


@dataclass(frozen=True)
class ClientUsage:
    """A client's calls, requests and costs up to now, copies made by ``with_options`` included.

    Attributes:
        calls: Calls that had documents to rank and have ended, failed ones included.
        failed_calls: Calls that ended with an error.
        requests: Requests sent, repeats and parts of split lists included.
        retries: Repeats among them.
        fallbacks: Calls that the fallback answered.
        cache_hits: Documents whose scores came from the cache.
        cache_misses: Documents that the cache did not know.
        billed_units: Sums by kind (``"search_units"``, ``"input_tokens"``, ...), as replies reported them. A kind that
            no reply named is absent: unknown is not 0.
        unbilled_replies: Good replies that reported no units at all, so that the sums may be too low.
        by_tag: The same for each ``tag=``, None for calls without one; empty inside of it.
    """

    calls: int = 0
    failed_calls: int = 0
    requests: int = 0
    retries: int = 0
    fallbacks: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    billed_units: dict[str, float] = field(default_factory=dict)
    unbilled_replies: int = 0
    by_tag: dict[str | None, ClientUsage] = field(default_factory=dict)

    @property
    def search_units(self) -> float | None:
        """Search units billed, as reported; None if no reply reported any."""
        return self.billed_units.get("search_units")


def usage_from(counters: UsageCounters) -> ClientUsage:
    """The counts of a ledger, in all and by tag."""
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
