"""Count a budget in Redis. While Redis does not answer, nothing may be spent."""

from __future__ import annotations

import os
from typing import Any, Protocol

from cohere_rerank.errors import RateLimitStoreError

from .redis_client import RedisAddress, ReplyError, describe_failure, new_client
from .spending import Amounts, Reservation, period_bounds

__all__ = ["budget_store"]

# One step in Redis, as `Spending.reserve` and `Spending.correct`. KEYS: the state. ARGV: whether this is a reservation;
# when the period began, and when the next one begins; the amounts to add; the budget (-1: no limit); how long to keep
# the state, in milliseconds (0: forever). Amounts are whole numbers below 2**53, which doubles hold exactly. The reply:
# whether the amounts were added, when the period of the state began, and what was spent before.
_SCRIPT = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local found = redis.call('HMGET', KEYS[1], 'period', 'usd', 'units')
local period, usd, units = tonumber(found[1]), tonumber(found[2]) or 0, tonumber(found[3]) or 0
local is_reservation, start, next_start = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3])
local add_usd, add_units = tonumber(ARGV[4]), tonumber(ARGV[5])
local most_usd, most_units = tonumber(ARGV[6]), tonumber(ARGV[7])
local function bounded(amount) return amount == amount and math.min(math.max(amount, 0), 2^53) or 0 end
usd, units = bounded(usd), bounded(units)
if is_reservation and period ~= start and period ~= next_start then period, usd, units = start, 0, 0 end
local fits = (most_usd < 0 or usd + add_usd <= most_usd) and (most_units < 0 or units + add_units <= most_units)
local is_granted = period ~= nil and (is_reservation and fits or not is_reservation and period == start)
if is_granted then
  redis.call('HSET', KEYS[1], 'period', string.format('%.0f', period), 'usd',
    string.format('%.0f', bounded(usd + add_usd)), 'units', string.format('%.0f', bounded(units + add_units)))
  if is_reservation and tonumber(ARGV[8]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[8]) end
end
return {is_granted and 1 or 0, period or -1, usd, units}
"""
_KEPT_MS = 24 * 3600 * 1000  # after the end of the period, because the clocks of machines differ


class RedisPlace(RedisAddress, Protocol):
    """Where a budget is: a RedisStore."""

    @property
    def key(self) -> str: ...


class _RedisBudget:
    """The access of one process to one budget in Redis."""

    def __init__(self, store: RedisPlace) -> None:
        self._store = store
        self._script = new_client(store).register_script(_SCRIPT)
        self._key = f"cohere-rerank:{{{store.key}}}:budget"

    def reserve(self, per: str, limits: tuple[int | None, int | None], wanted: Amounts, now_s: float) -> Reservation:
        start_s, next_s = period_bounds(per, now_s)
        kept_ms = 0 if next_s is None else round((next_s - now_s) * 1000) + _KEPT_MS
        max_usd, max_units = (-1 if each is None else each for each in limits)
        return self._run(1, start_s, -1 if next_s is None else next_s, *wanted, max_usd, max_units, kept_ms)

    def correct(self, period_s: int, change: Amounts) -> None:
        self._run(0, period_s, -1, *change, -1, -1, 0)

    def _run(self, *values: int) -> Reservation:
        try:
            return _checked(self._script(keys=[self._key], args=values))
        except Exception as error:  # noqa: BLE001 - a wrong reply raises anything in the parser of redis
            failure = describe_failure(self._store, error)
        raise RateLimitStoreError(
            f"Redis does not answer ({failure}), so it is not known what remains of the budget; "
            "check the url of the RedisStore and that Redis is running"
        )


def _checked(reply: Any) -> Reservation:
    """Return the reply of the script.

    Raises:
        ReplyError: The script cannot have sent this reply.
    """
    if not isinstance(reply, list) or len(reply) != 4 or not all(type(value) is int for value in reply):
        raise ReplyError("a reply is not a list of four whole numbers; check that the url leads to a Redis server")
    is_granted, period_s, usd, units = reply
    return Reservation(bool(is_granted), period_s, Amounts(usd, units))


_stores: dict[tuple[int, RedisPlace], _RedisBudget] = {}


def budget_store(store: RedisPlace) -> _RedisBudget:
    """Return the access of this process to a budget. A forked process gets its own connections."""
    store_id = (os.getpid(), store)
    if store_id not in _stores:
        _stores.setdefault(store_id, _RedisBudget(store))
    return _stores[store_id]
