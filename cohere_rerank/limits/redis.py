"""The store that shares a limit between machines: Redis, with the clock of Redis."""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cohere_rerank._extras import importing
from cohere_rerank._validators import seconds
from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError

from .shared_state import SharedState

if TYPE_CHECKING:
    from .rate_limit import RateLimit

_MEMBER_TTL_S = 60.0  # a client that has not asked for so long, or for a period, no longer shares the limit
_PROBE_S, _PROBE_MAX_S = 1.0, 15.0  # how soon a Redis that has failed is asked again; the wait doubles

# Each script runs in Redis as one step. KEYS: the requests that were sent; a pause; the clients that share the limit.
# ARGV: the id of the client; the time after which a client is forgotten; the length of a pause to set (-1: none, a
# request is wanted); then the limit. All times are whole microseconds, which doubles hold exactly. The reply: how long
# to wait, and how many clients share the limit.
_MEMBERS = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local member_ttl, pause = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], 0, now - member_ttl)
redis.call('PEXPIRE', KEYS[3], math.ceil(member_ttl / 1000))
local n_members = redis.call('ZCARD', KEYS[3])
"""

# With a burst (GCRA): the state is the theoretical arrival time of the next request, which may be sent `tolerance`
# sooner. A pause moves that time, so that requests continue in even steps afterwards and not in a burst.
_GCRA = (
    _MEMBERS
    + """
local interval, tolerance = tonumber(ARGV[4]), tonumber(ARGV[5])
local tat = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)
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
local n, period = tonumber(ARGV[4]), tonumber(ARGV[5])
local paused = math.max(0, redis.call('PTTL', KEYS[2])) * 1000
if pause > paused then redis.call('SET', KEYS[2], '', 'PX', math.ceil(pause / 1000)) end
local oldest = redis.call('LINDEX', KEYS[1], n - 1)
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
    """Counts a limit in Redis, for processes on any number of machines. Needs the extra ``redis``.

    If Redis stops answering, a process logs one warning (``cohere_rerank``) and continues alone, evenly paced, at its
    share of the limit: the limit divided by the number of clients at the last answer. It returns to Redis as soon as
    Redis answers, and keeps to its own pace as well for one more period, since Redis may have lost its counts. A
    process that has never had an answer raises RateLimitStoreError, because it cannot know its share.

    Args:
        url: ``redis://host:6379/0``, ``rediss://`` for TLS, or ``unix://``. A password in it is never shown, but it
            is part of a pickle of the store.
        key: The name of the limit in Redis. Clients that share the limit use the same name; every API key needs a name
            of its own.
        timeout_s: Seconds without an answer after which Redis counts as down. Default: 1.

    Raises:
        InvalidRequestError: A value is out of range.
        ImportError: The ``redis`` package is missing.
    """

    url: str = field(repr=False)
    key: str
    timeout_s: float = 1.0

    def __post_init__(self) -> None:
        url: Any = self.url
        key: Any = self.key
        if not isinstance(url, str) or not url.startswith(("redis://", "rediss://", "unix://")):
            raise InvalidRequestError("the url of a RedisStore must start with redis://, rediss:// or unix://")
        if not isinstance(key, str) or not key.strip():
            raise InvalidRequestError(f"the key of a RedisStore must be a name that is not blank, got {key!r}")
        object.__setattr__(self, "timeout_s", seconds("timeout_s", self.timeout_s) or 1.0)
        _redis()

    def acquire(self, limit: RateLimit, now_s: float) -> float:
        """See `Store.acquire`."""
        return self._connection().acquire(limit, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`."""
        self._connection().pause(limit, seconds, now_s)

    def _connection(self) -> _RedisConnection:
        connection_id = (os.getpid(), self)  # a forked process is one more client that shares the limit
        connection = _connections.get(connection_id)
        return connection or _connections.setdefault(connection_id, _RedisConnection(self))


_connections: dict[tuple[int, RedisStore], _RedisConnection] = {}


class _RedisConnection:
    """The access of one process to one limit in Redis."""

    def __init__(self, store: RedisStore) -> None:
        redis = _redis()
        client = redis.Redis.from_url(
            store.url,
            socket_timeout=store.timeout_s,
            socket_connect_timeout=store.timeout_s,
            # One retry: an idle connection may have been closed. More retries would keep callers waiting.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
        )
        self._gcra, self._sliding_window = client.register_script(_GCRA), client.register_script(_SLIDING_WINDOW)
        self._failure: type[Exception] = redis.RedisError
        self._key = f"cohere-rerank:{{{store.key}}}"  # the braces keep all keys of a script in one slot of a cluster
        self._client_id = os.urandom(16).hex()
        self._n_members = 0  # 0: Redis has never answered
        self._last_error: Exception | None = None  # why Redis does not answer at the moment
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
        try:
            return self._eval(limit, now_s)
        except self._failure as error:
            share_now = self._on_failure(limit, now_s, error)
        # If there already was a share, it has just granted this request.
        return 0.0 if share is not None else self._own_state.acquire(share_now, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """See `Store.pause`."""
        if self._may_ask(now_s):
            try:
                self._eval(limit, now_s, seconds)
            except self._failure as error:
                self._on_failure(limit, now_s, error)
        if self._share is not None:
            self._own_state.pause(self._share, seconds, now_s)

    def _eval(self, limit: RateLimit, now_s: float, pause_s: float | None = None) -> float:
        """Run the script in Redis and return the seconds to wait."""
        member_ttl_us = _microseconds(max(limit.period_s, _MEMBER_TTL_S))
        pause_us = -1 if pause_s is None else _microseconds(pause_s)
        if limit.burst is None:
            script, name = self._sliding_window, "sent"
            values = (limit.requests, _microseconds(limit.period_s + limit.max_transit_s))
        else:
            script, name = self._gcra, "tat"
            values = (_microseconds(limit.emission_interval_s), _microseconds(limit.tolerance_s))
        keys = [f"{self._key}:{last}" for last in (name, "pause", "members")]
        wait_us, n_members = script(keys=keys, args=[self._client_id, member_ttl_us, pause_us, *values])
        self._on_reply(limit, now_s, n_members)
        return float(wait_us) / 1e6

    def _may_ask(self, now_s: float) -> bool:
        if self._last_error is None or now_s >= self._next_probe_s:
            return True
        if self._share is None:
            raise _unknown_share(self._last_error)
        return False

    def _on_failure(self, limit: RateLimit, now_s: float, error: Exception) -> RateLimit:
        """Return the limit to enforce while Redis does not answer."""
        is_first = self._last_error is None
        self._last_error = error
        self._next_probe_s = now_s + self._probe_interval_s * random.uniform(0.5, 1.5)  # processes must not act at once
        self._probe_interval_s = min(2 * self._probe_interval_s, _PROBE_MAX_S)
        if not self._n_members:
            raise _unknown_share(error) from error
        if is_first:
            # Evenly paced, because the requests that were sent just before are now counted nowhere.
            self._share = replace(limit, period_s=limit.period_s * self._n_members, burst=1, store=None)
            self._share_until_s = math.inf
            _log_warning(
                "Redis does not answer (%s); this process keeps to 1/%d of the limit until Redis answers",
                error,
                self._n_members,
            )
        assert self._share is not None
        return self._share

    def _on_reply(self, limit: RateLimit, now_s: float, n_members: int) -> None:
        if self._last_error is not None:
            self._last_error, self._probe_interval_s = None, _PROBE_S
            self._share_until_s = now_s + limit.period_s
            _log_warning("Redis answers again")
        if now_s >= self._share_until_s:
            self._share, self._share_until_s = None, math.inf
        # A Redis that has just restarted has not yet counted all clients.
        self._n_members = max(n_members, self._n_members) if self._share is not None else n_members


def _microseconds(time_s: float) -> int:
    return round(time_s * 1e6)


def _unknown_share(error: Exception) -> RateLimitStoreError:
    return RateLimitStoreError(
        f"Redis has never answered ({error}), so this process cannot know its share of the limit; "
        "check the url of the RedisStore and that Redis is running"
    )


def _log_warning(message: str, *values: object) -> None:
    from logging import getLogger

    getLogger("cohere_rerank").warning(message, *values)


def _redis() -> Any:
    with importing("redis", "A limit in Redis"):
        import redis.backoff
        import redis.retry
    return redis
