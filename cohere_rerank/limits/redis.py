"""The store that shares a limit between machines: Redis, with the clock of Redis."""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cohere_rerank._validators import describe, seconds
from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError

from .rate_limit import MAX_PERIOD_S
from .redis_client import ReplyError, describe_failure, new_client
from .shared_state import SharedState

if TYPE_CHECKING:
    from .budget import BudgetStore
    from .rate_limit import RateLimit

_MEMBER_TTL_S = 60.0  # a client that has not asked for so long, or for a period, no longer shares the limit
_PROBE_S, _PROBE_MAX_S = 1.0, 15.0  # how soon a Redis that has failed is asked again; the wait doubles
_MAX_MEMBERS = 100_000  # a larger number of clients is not credible

# Each script runs in Redis as one step. KEYS: the requests that were sent; a pause; the clients that share the limit.
# ARGV: the id of the client; the time after which a client is forgotten; the length of a pause to set (-1: none, a
# request is wanted); the longest pause; then the limit. All times are whole microseconds, which doubles hold exactly.
# The reply: how long to wait, and how many clients share the limit. A value that the scripts cannot have written (of
# another type, too far ahead) is removed or cut, so that a damaged state never blocks a limit for long.
_MEMBERS = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local member_ttl, pause, max_pause = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function expect(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
expect(KEYS[3], 'zset')
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - member_ttl)
redis.call('ZREMRANGEBYSCORE', KEYS[3], string.format('(%.0f', now), '+inf')
redis.call('PEXPIRE', KEYS[3], math.ceil(member_ttl / 1000))
local n_members = redis.call('ZCARD', KEYS[3])
"""

# With a burst (GCRA): the state is the theoretical arrival time of the next request, which may be sent `tolerance`
# sooner. A pause moves that time, so that requests continue in even steps afterwards and not in a burst.
_GCRA = (
    _MEMBERS
    + """
expect(KEYS[1], 'string')
local interval, tolerance = tonumber(ARGV[5]), tonumber(ARGV[6])
local tat = tonumber(redis.call('GET', KEYS[1])) or now
tat = tat < math.huge and math.max(math.min(tat, now + tolerance + max_pause), now) or now
local wait = math.max(0, tat - tolerance - now)
if pause >= 0 then
  tat = math.max(tat, now + tolerance + pause)
elseif wait == 0 then
  tat = tat + interval
end
if tat > now then redis.call('SET', KEYS[1], tat, 'PX', math.ceil((tat - now) / 1000)) end
return {wait, n_members}
"""
)

# Without a burst, at most n in any period: the times of the last n requests, newest first.
_SLIDING_WINDOW = (
    _MEMBERS
    + """
expect(KEYS[1], 'list')
local n, period = tonumber(ARGV[5]), tonumber(ARGV[6])
local paused = math.max(0, redis.call('PTTL', KEYS[2])) * 1000
if paused > max_pause then
  paused = max_pause
  redis.call('PEXPIRE', KEYS[2], math.ceil(max_pause / 1000))
end
if pause > paused then redis.call('SET', KEYS[2], '', 'PX', math.ceil(pause / 1000)) end
local oldest = tonumber(redis.call('LINDEX', KEYS[1], n - 1) or nil)
if oldest and oldest > now then
  oldest = now
  redis.call('LSET', KEYS[1], n - 1, now)
end
local wait = math.max(paused, oldest and oldest + period - now or 0)
if pause < 0 and wait == 0 then
  redis.call('LPUSH', KEYS[1], now)
  redis.call('LTRIM', KEYS[1], 0, n - 1)
  redis.call('PEXPIRE', KEYS[1], math.ceil(period / 1000))
end
return {wait, n_members}
"""
)


@dataclass(frozen=True)
class RedisStore:
    """Counts a limit or a budget in Redis, for processes on any number of machines. Needs the extra ``redis``.

    If Redis stops answering, a process logs one warning (``cohere_rerank``) and continues alone, evenly paced, at its
    share of the limit: the limit divided by the number of clients at the last reply. It returns to Redis as soon as
    Redis answers, and keeps to its own pace as well for one more period, since Redis may have lost its counts. A
    process that has never had a reply raises RateLimitStoreError, because it cannot know its share. A budget always
    raises this error while Redis does not answer.

    Args:
        url: ``redis://host:6379/0``, ``rediss://`` for TLS, or ``unix://``. A password in it is never shown, but it
            is part of a pickle of the store.
        key: The name of the limit or budget in Redis. Clients that share it use the same name; the limit of every API
            key and every budget needs a name of its own.
        timeout_s: Seconds without a reply after which Redis counts as down. Default: 1.

    Raises:
        InvalidRequestError: A value is out of range.
        ImportError: The ``redis`` package is missing.
    """

    url: str = field(repr=False)
    key: str
    timeout_s: float = 1.0

    def __post_init__(self) -> None:
        key: Any = self.key
        # The URL is not bound to a name here: frames with a password could end up in a crash report.
        if type(self.url) is not str or not self.url.startswith(("redis://", "rediss://", "unix://")):
            raise InvalidRequestError(
                "the url of a RedisStore must be a string that starts with redis://, rediss:// or unix://, got "
                f"{type(self.url).__name__} that is not shown here"
            )
        if not isinstance(key, str) or not key.strip():
            raise InvalidRequestError(f"the key of a RedisStore must be a name that is not blank, got {describe(key)}")
        object.__setattr__(self, "timeout_s", seconds("timeout_s", self.timeout_s) or 1.0)
        new_client(self)  # only to check the URL and the extra: nothing connects yet

    def acquire(self, limit: RateLimit, now_s: float) -> float:
        """See `Store.acquire`."""
        return self._connection().acquire(limit, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`."""
        self._connection().pause(limit, seconds, now_s)

    def budget_store(self) -> BudgetStore:
        """Return the store of a budget under this key."""
        from .redis_budget import budget_store

        return budget_store(self)

    def _connection(self) -> _RedisConnection:
        connection_id = (os.getpid(), self)  # a forked process is one more client that shares the limit
        if connection_id not in _connections:
            _connections.setdefault(connection_id, _RedisConnection(self))
        return _connections[connection_id]


_connections: dict[tuple[int, RedisStore], _RedisConnection] = {}


class _RedisConnection:
    """The access of one process to one limit in Redis."""

    def __init__(self, store: RedisStore) -> None:
        client = new_client(store)
        self._gcra, self._sliding_window = client.register_script(_GCRA), client.register_script(_SLIDING_WINDOW)
        self._store = store
        self._key = f"cohere-rerank:{{{store.key}}}"  # the braces keep all keys of a script in one slot of a cluster
        self._client_id = os.urandom(16).hex()
        self._n_members = 0  # 0: Redis has never answered
        self._last_failure: str | None = None  # why Redis does not answer at the moment
        self._next_probe_s = -math.inf
        self._probe_interval_s = _PROBE_S
        self._own_state = SharedState()
        self._share: RateLimit | None = None  # the part of the limit that this process enforces by itself
        self._share_until_s = math.inf

    def acquire(self, limit: RateLimit, now_s: float) -> float:
        """See `Store.acquire`."""
        share = self._share
        wait_s = self._own_state.acquire(share, now_s) if share is not None else 0.0
        if wait_s > 0 or not self._may_ask(now_s):
            return wait_s
        redis_wait_s = self._try_eval(limit, now_s)
        if redis_wait_s is not None:
            return redis_wait_s
        # If there already was a share, it has just granted this request.
        return 0.0 if share is not None else self._own_state.acquire(self._share_or_raise(), now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`."""
        if self._may_ask(now_s) and self._try_eval(limit, now_s, seconds) is None:
            self._share_or_raise()
        if self._share is not None:
            self._own_state.pause(self._share, seconds, now_s)

    def _try_eval(self, limit: RateLimit, now_s: float, pause_s: float | None = None) -> float | None:
        """Return the seconds to wait that Redis replies, or None if it fails."""
        try:
            wait_s, n_members = self._eval(limit, pause_s)
        except Exception as error:  # noqa: BLE001 - a wrong reply raises anything in the parser of redis
            self._record_failure(limit, now_s, describe_failure(self._store, error))
            return None
        self._record_reply(limit, now_s, n_members)
        return wait_s

    def _eval(self, limit: RateLimit, pause_s: float | None) -> tuple[float, int]:
        """Run the script in Redis, and return the seconds to wait and the number of clients."""
        member_ttl_us = _microseconds(max(limit.period_s, _MEMBER_TTL_S))
        pause_us = -1 if pause_s is None else _microseconds(min(pause_s, limit.max_pause_s))
        max_pause_us = _microseconds(limit.max_pause_s)
        if limit.burst is None:
            script, name = self._sliding_window, "sent"
            values = (limit.requests, _microseconds(limit.period_s + limit.max_transit_s))
        else:
            script, name = self._gcra, "tat"
            values = (_microseconds(limit.emission_interval_s), _microseconds(limit.tolerance_s))
        keys = [f"{self._key}:{last}" for last in (name, "pause", "members")]
        reply = script(keys=keys, args=[self._client_id, member_ttl_us, pause_us, max_pause_us, *values])
        return _checked(reply, limit)

    def _may_ask(self, now_s: float) -> bool:
        if self._last_failure is None or now_s >= self._next_probe_s:
            return True
        self._share_or_raise()
        return False

    def _share_or_raise(self) -> RateLimit:
        """Return the limit to enforce while Redis does not answer.

        Raises:
            RateLimitStoreError: Redis has never answered.
        """
        if self._share is None:
            raise RateLimitStoreError(
                f"Redis has never answered ({self._last_failure}), so this process cannot know its share of the limit; "
                "check the url of the RedisStore and that Redis is running"
            )
        return self._share

    def _record_failure(self, limit: RateLimit, now_s: float, failure: str) -> None:
        is_first = self._last_failure is None
        self._last_failure = failure
        self._next_probe_s = now_s + self._probe_interval_s * random.uniform(0.5, 1.5)  # processes must not act at once
        self._probe_interval_s = min(2 * self._probe_interval_s, _PROBE_MAX_S)
        if is_first and self._n_members:
            # Evenly paced, because the requests that were sent just before are now counted nowhere.
            self._share = replace(
                limit, period_s=min(limit.period_s * self._n_members, MAX_PERIOD_S), burst=1, store=None
            )
            self._share_until_s = math.inf
            _log_warning(
                "Redis does not answer (%s); this process keeps to 1/%d of the limit until Redis answers",
                failure,
                self._n_members,
            )

    def _record_reply(self, limit: RateLimit, now_s: float, n_members: int) -> None:
        if self._last_failure is not None:
            self._last_failure, self._probe_interval_s = None, _PROBE_S
            self._share_until_s = now_s + limit.period_s
            _log_warning("Redis answers again")
        if now_s >= self._share_until_s:
            self._share, self._share_until_s = None, math.inf
        # A Redis that has just restarted has not yet counted all clients.
        self._n_members = max(n_members, self._n_members) if self._share is not None else n_members


def _checked(reply: object, limit: RateLimit) -> tuple[float, int]:
    """Return the wait in seconds and the number of clients.

    Raises:
        ReplyError: The script cannot have sent this reply.
    """
    if not isinstance(reply, list) or len(reply) != 2 or not all(type(value) is int for value in reply):
        raise ReplyError("a reply is not a list of two whole numbers; check that the url leads to a Redis server")
    wait_s, n_members = reply[0] / 1e6, reply[1]
    longest_s = limit.max_pause_s + limit.period_s + limit.max_transit_s + limit.emission_interval_s
    if not (0 <= wait_s <= longest_s and 1 <= n_members <= _MAX_MEMBERS):
        raise ReplyError(f"a reply is out of range: a wait of {wait_s:g} s, {n_members} clients")
    return wait_s, n_members


def _microseconds(time_s: float) -> int:
    return round(time_s * 1e6)


def _log_warning(message: str, *values: object) -> None:
    from logging import getLogger

    getLogger("cohere_rerank").warning(message, *values)
