"""One key's limit shared by machines: counted in Redis, by the clock of Redis."""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cohere_rerank._extras import importing
from cohere_rerank._validators import seconds
from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError

from .counts import Counts

if TYPE_CHECKING:
    from .rate_limit import RateLimit

_FORGET_S = 60.0  # who has not asked for so long, or for a period, no longer shares the limit
_PROBE_S, _PROBE_MAX_S = 1.0, 15.0  # when a Redis that does not answer is asked again; the wait doubles

# Each script runs in Redis as one step. KEYS: what was sent; a pause; who shares the limit. ARGV: who asks; after how
# long one is forgotten; how long all are to rest (-1: a send is wanted); then the limit. All times are in whole
# microseconds, which doubles hold exactly. The answer: how long to wait, and how many share.
_WHO = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local forget, rest = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], 0, now - forget)
redis.call('PEXPIRE', KEYS[3], math.ceil(forget / 1000))
local sharers = redis.call('ZCARD', KEYS[3])
"""

# Paced (GCRA): all that is kept is when the next send is due in even steps; it may come `slack` sooner. To rest puts
# that off, so that sends go on in even steps afterwards and not at once.
_PACED = (
    _WHO
    + """
local step, slack = tonumber(ARGV[4]), tonumber(ARGV[5])
local due = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)
local wait = math.max(0, due - slack - now)
if rest >= 0 then
  due = math.max(due, now + slack + rest)
elseif wait == 0 then
  due = due + step
end
if due > now then redis.call('SET', KEYS[1], due, 'PX', math.ceil((due - now) / 1000)) end
return {wait, sharers}
"""
)

# At most n in any period: the times of the last n sends, newest first.
_WINDOW = (
    _WHO
    + """
local n, period = tonumber(ARGV[4]), tonumber(ARGV[5])
local paused = math.max(0, redis.call('PTTL', KEYS[2])) * 1000
if rest > paused then redis.call('SET', KEYS[2], '', 'PX', math.ceil(rest / 1000)) end
local oldest = redis.call('LINDEX', KEYS[1], n - 1)
local wait = math.max(paused, oldest and oldest + period - now or 0)
if rest < 0 and wait == 0 then
  redis.call('LPUSH', KEYS[1], now)
  redis.call('LTRIM', KEYS[1], 0, n - 1)
  redis.call('PEXPIRE', KEYS[1], math.ceil(period / 1000))
end
return {wait, sharers}
"""
)


@dataclass(frozen=True)
class RedisStore:
    """A limit's counts in Redis, for processes on any number of machines. Needs the extra ``redis``.

    A process whose Redis stops answering says so once in the log (``cohere_rerank``, a warning) and goes on alone,
    evenly paced, at its share of the limit: one part in as many as shared it when Redis last answered. It goes back to
    Redis as soon as that answers, and for one more period keeps to its own pace as well, since Redis may have
    forgotten what was sent. A process that never had an answer raises RateLimitStoreError: it cannot know its share.

    Args:
        url: ``redis://host:6379/0``, ``rediss://`` for TLS, or ``unix://``. A password in it is never shown, but goes
            along when the store is pickled.
        key: The limit's name in Redis. All who share the limit give the same one; every API key needs its own.
        timeout_s: After how many seconds without an answer Redis counts as down.

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
            raise InvalidRequestError(f"the key of a RedisStore must be a name, not blank, got {key!r}")
        object.__setattr__(self, "timeout_s", seconds("timeout_s", self.timeout_s) or 1.0)
        _redis()

    def take(self, limit: RateLimit, now_s: float) -> float:
        """Seconds after which to ask again; 0.0 grants a send and counts it."""
        return self._link().take(limit, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """Nobody who shares the limit sends for so long."""
        self._link().pause(limit, seconds, now_s)

    def _link(self) -> _Link:
        at = (os.getpid(), self)  # a forked process is one more that shares the limit
        return _links.get(at) or _links.setdefault(at, _Link(self))


_links: dict[tuple[int, RedisStore], _Link] = {}


class _Link:
    """A process's way to one limit in Redis."""

    def __init__(self, store: RedisStore) -> None:
        redis = _redis()
        client = redis.Redis.from_url(
            store.url,
            socket_timeout=store.timeout_s,
            socket_connect_timeout=store.timeout_s,
            # Once: a connection that lay idle may have been closed. More would keep callers waiting.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
        )
        self._paced, self._window = client.register_script(_PACED), client.register_script(_WINDOW)
        self._failure: type[Exception] = redis.RedisError
        self._key = f"cohere-rerank:{{{store.key}}}"  # in braces: one slot for all of a script's keys in a cluster
        self._me = os.urandom(16).hex()
        self._n_sharers = 0  # 0: Redis has never answered
        self._silence: Exception | None = None  # why it does not answer now
        self._ask_at_s = -math.inf  # not before then
        self._probe_s = _PROBE_S
        self._own = Counts()
        self._share: RateLimit | None = None  # what this process keeps to by itself
        self._share_until_s = math.inf

    def take(self, limit: RateLimit, now_s: float) -> float:
        """As `Store.take`."""
        share = self._share
        wait_s = self._own.take(share, now_s) if share is not None else 0.0
        if wait_s > 0 or not self._may_ask(now_s):
            return wait_s
        try:
            return self._ask(limit, now_s)
        except self._failure as error:
            share_now = self._fell_silent(limit, now_s, error)
        # If there was a share already, it has just allowed this send.
        return 0.0 if share is not None else self._own.take(share_now, now_s)

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:
        """As `Store.pause`."""
        if self._may_ask(now_s):
            try:
                self._ask(limit, now_s, seconds)
            except self._failure as error:
                self._fell_silent(limit, now_s, error)
        if self._share is not None:
            self._own.pause(self._share, seconds, now_s)

    def _ask(self, limit: RateLimit, now_s: float, rest_s: float | None = None) -> float:
        """What Redis says: seconds to wait."""
        forget_us = _us(max(limit.period_s, _FORGET_S))
        rest_us = -1 if rest_s is None else _us(rest_s)
        if limit.burst is None:
            script, name, rule = self._window, "sent", (limit.requests, _us(limit.period_s + limit.max_delay_s))
        else:
            script, name, rule = self._paced, "due", (_us(limit.step_s), _us(limit.slack_s))
        keys = [f"{self._key}:{last}" for last in (name, "pause", "sharers")]
        wait_us, n_sharers = script(keys=keys, args=[self._me, forget_us, rest_us, *rule])
        self._answered(limit, now_s, n_sharers)
        return float(wait_us) / 1e6

    def _may_ask(self, now_s: float) -> bool:
        if self._silence is None or now_s >= self._ask_at_s:
            return True
        if self._share is None:
            raise _unknown_share(self._silence)
        return False

    def _fell_silent(self, limit: RateLimit, now_s: float, error: Exception) -> RateLimit:
        """Redis did not answer, now or still: the limit to go by instead."""
        is_news = self._silence is None
        self._silence = error
        self._ask_at_s = now_s + self._probe_s * random.uniform(0.5, 1.5)  # or all who share it would come at once
        self._probe_s = min(2 * self._probe_s, _PROBE_MAX_S)
        if not self._n_sharers:
            raise _unknown_share(error) from error
        if is_news:
            # Evenly paced: what was sent just before is counted nowhere now.
            self._share = replace(limit, period_s=limit.period_s * self._n_sharers, burst=1, store=None)
            self._share_until_s = math.inf
            _log(
                "Redis does not answer (%s); this process keeps to 1/%d of the limit until it does",
                error,
                self._n_sharers,
            )
        assert self._share is not None
        return self._share

    def _answered(self, limit: RateLimit, now_s: float, n_sharers: int) -> None:
        if self._silence is not None:
            self._silence, self._probe_s = None, _PROBE_S
            self._share_until_s = now_s + limit.period_s
            _log("Redis answers again")
        if now_s >= self._share_until_s:
            self._share, self._share_until_s = None, math.inf
        # One that has just come back may not have heard yet from all the others.
        self._n_sharers = max(n_sharers, self._n_sharers) if self._share is not None else n_sharers


def _us(time_s: float) -> int:
    """Whole microseconds."""
    return round(time_s * 1e6)


def _unknown_share(error: Exception) -> RateLimitStoreError:
    return RateLimitStoreError(
        f"Redis has never answered ({error}), so this process cannot know its share of the limit; "
        "check the RedisStore's url and that Redis runs"
    )


def _log(message: str, *values: object) -> None:
    from logging import getLogger

    getLogger("cohere_rerank").warning(message, *values)


def _redis() -> Any:
    with importing("redis", "A limit in Redis"):
        import redis.backoff
        import redis.retry
    return redis
