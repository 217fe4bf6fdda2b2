"""A limit counted in Redis: all clients share it, and each keeps to its share while Redis is down."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time

import pytest

from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError
from cohere_rerank.limits import RateLimit, RedisStore
from cohere_rerank.limits.shared_state import SharedState
from tests.limits.processes import Processes
from tests.limits.redis_server import RedisServer, needs_redis_server

redis = pytest.importorskip("redis")
pytestmark = needs_redis_server

# Periods so long that the clock of Redis, which cannot be set, does not matter.
PACED = RateLimit(requests=10, period_s=3600, burst=5)
WINDOW = RateLimit(requests=10, period_s=3600)


@pytest.fixture(scope="module")
def running():
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running):
    """An empty Redis."""
    with redis.Redis.from_url(running.url) as client:
        client.flushall()
        client.script_flush()
        client.config_resetstat()
    return running


@pytest.fixture
def mortal():
    """A Redis that a test may kill."""
    with RedisServer() as server:
        yield server


def commands(server):
    """Return how often each command reached the server from outside a script."""
    with redis.Redis.from_url(server.url) as client:
        return {name: stats["calls"] for name, stats in client.info("commandstats").items()}


def n_granted(store, limit, now_s=0.0):
    """Return how many requests are granted in a row."""
    n = 0
    while store.acquire(limit, now_s) == 0.0:
        n += 1
    return n


@pytest.mark.parametrize(
    "limit", [PACED, WINDOW, RateLimit(requests=1, period_s=3600), RateLimit(per_minute=1, burst=1)]
)
def test_redis_grants_as_many_requests_as_a_file_and_the_same_waits(server, limit):
    """The scripts implement the same algorithms."""
    store, counts = RedisStore(server.url, "k"), SharedState()
    before_s = time.monotonic()
    assert n_granted(store, limit) == n_granted(counts, limit)
    wait_s, longest_s = store.acquire(limit, 0.0), counts.acquire(limit, 0.0)
    assert longest_s - (time.monotonic() - before_s) - 1e-3 <= wait_s <= longest_s + 1e-3


def test_a_request_is_granted_when_the_wait_is_over(server):
    """The wait is not too short and does not start again."""
    store, limit = RedisStore(server.url, "k"), RateLimit(requests=10, period_s=1, burst=1)
    assert store.acquire(limit, 0.0) == 0.0
    time.sleep(store.acquire(limit, 0.0))
    assert store.acquire(limit, 0.0) <= 0.001


@pytest.mark.parametrize("limit", [PACED, WINDOW])
def test_a_permit_is_one_round_trip(server, limit):
    """After the first use of the script, each acquire is one EVALSHA."""
    store = RedisStore(server.url, f"trips {limit.burst}")
    store.acquire(limit, 0.0)
    before = commands(server)
    n_granted(store, limit)
    after = commands(server)
    outside = {name for name in after if "eval" in name or "script" in name}
    n_more = {name: after[name] - before.get(name, 0) for name in outside}
    assert {name: n for name, n in n_more.items() if n} == {"cmdstat_evalsha": n_more["cmdstat_evalsha"]}
    assert n_more["cmdstat_evalsha"] == (WINDOW.requests if limit is WINDOW else PACED.burst - 1)


def test_scripts_are_loaded_again_if_the_server_lost_them(server):
    """A Redis that was restarted or flushed continues to work."""
    store = RedisStore(server.url, "k")
    store.acquire(PACED, 0.0)
    with redis.Redis.from_url(server.url) as client:
        client.script_flush()
    assert store.acquire(PACED, 0.0) == 0.0


@pytest.mark.parametrize("limit", [PACED, WINDOW])
def test_stores_of_one_key_share_its_count_and_others_do_not(server, limit):
    """The key decides and not the object; another timeout makes another connection."""
    alone = n_granted(RedisStore(server.url, "a"), limit)
    one, other = RedisStore(server.url, "b"), RedisStore(server.url, "b", timeout_s=2)
    assert one.acquire(limit, 0.0) == 0.0
    assert n_granted(other, limit) == alone - 1
    assert one.acquire(limit, 0.0) > 0


@pytest.mark.parametrize(
    "limit", ["RateLimit(requests=40, period_s=1, burst=5)", "RateLimit(requests=20, period_s=0.5)"]
)
def test_four_processes_together_stay_within_the_limit(server, limit):
    """Together they send no more than one process might, and no fewer than the burst."""
    rule = eval(limit)
    with Processes(4, "acquire_worker.py", f"RedisStore({server.url!r}, 'k')", limit, 1.5) as workers:
        workers.start()
        n_sent = sum(said.count("granted") for said, _ in workers.outcomes())
    # Every grant lies between the start and now, so this also holds on a busy machine.
    span_s = time.monotonic() - workers.started_s
    most = (
        rule.requests * (1 + span_s / rule.period_s)
        if rule.burst is None
        else rule.burst + span_s / rule.emission_interval_s
    )
    assert (rule.requests if rule.burst is None else rule.burst - 1) <= n_sent <= most


@pytest.mark.parametrize("limit", [PACED, WINDOW])
def test_a_pause_holds_for_all_and_a_longer_one_stays(server, limit):
    """All clients of the key wait until the longest pause has ended."""
    one, other = RedisStore(server.url, "k"), RedisStore(server.url, "k", timeout_s=2)
    one.pause(limit, 600, 0.0)
    one.pause(limit, 3, 0.0)
    assert 500 < other.acquire(limit, 0.0) <= 600


def test_after_a_pause_a_paced_limit_continues_in_even_steps(server):
    """The first moment after the pause grants one request and no burst."""
    store = RedisStore(server.url, "k")
    store.pause(PACED, 0.001, 0.0)
    time.sleep(0.002)
    assert n_granted(store, PACED) == 1


@pytest.mark.parametrize("limit", [PACED, WINDOW])
def test_all_keys_in_redis_expire(server, limit):
    """Each key has a time to live of two periods at most."""
    store = RedisStore(server.url, "k")
    store.acquire(limit, 0.0)
    store.pause(limit, 5, 0.0)
    with redis.Redis.from_url(server.url) as client:
        keys = client.keys()
        assert keys
        assert all(0 < client.pttl(key) <= 2 * 3600 * 1000 for key in keys)


def test_all_keys_of_a_limit_are_in_one_slot_of_a_cluster(server):
    """A Redis Cluster runs a script only on keys of one slot."""
    store = RedisStore(server.url, "tea & milk")
    store.acquire(WINDOW, 0.0)
    store.pause(WINDOW, 5, 0.0)
    with redis.Redis.from_url(server.url) as client:
        keys = [key.decode() for key in client.scan_iter()]
    assert len(keys) == 3
    assert {key[key.index("{") : key.index("}") + 1] for key in keys} == {"{tea & milk}"}


def shared_by_two(server):
    """Return a store that knows that a second client shares its limit."""
    store, other = RedisStore(server.url, "k"), RedisStore(server.url, "k", timeout_s=2)
    other.acquire(PACED, 0.0)
    assert store.acquire(PACED, 0.0) == 0.0
    return store


def test_without_redis_a_process_paces_itself_at_its_share(mortal, caplog):
    """With two clients each sends half of the limit, evenly and without a burst, and logs one warning."""
    store = shared_by_two(mortal)
    mortal.kill()
    assert store.acquire(PACED, 1000.0) == 0.0
    wait_s = store.acquire(PACED, 1000.0)
    assert wait_s == pytest.approx(2 * PACED.emission_interval_s)
    assert store.acquire(PACED, 1000.0 + wait_s) == 0.0
    assert store.acquire(PACED, 1000.0 + wait_s) == pytest.approx(2 * PACED.emission_interval_s)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "1/2 of the limit" in caplog.text


def test_without_redis_a_pause_holds_in_this_process(mortal):
    """The pause after a 429 is observed."""
    store = shared_by_two(mortal)
    mortal.kill()
    store.pause(PACED, 50, 1000.0)
    assert store.acquire(PACED, 1000.0) == pytest.approx(50)


def test_a_redis_that_is_down_is_probed_less_and_less_often(mortal, monkeypatch):
    """Thousands of requests cause at most a dozen attempts to connect."""
    store = shared_by_two(mortal)
    mortal.kill()
    n_attempts = 0
    connect = redis.UnixDomainSocketConnection._connect

    def counted(self):
        nonlocal n_attempts
        n_attempts += 1
        return connect(self)

    monkeypatch.setattr(redis.UnixDomainSocketConnection, "_connect", counted)
    limit = RateLimit(requests=1000, period_s=1, burst=1)
    n_sent = sum(store.acquire(limit, 1000.0 + n / 100) == 0.0 for n in range(6000))  # a minute
    assert n_sent > 4000
    assert n_attempts <= 2 * 12  # each attempt is made twice; with 15 s between the later ones, there are at most 12


def test_a_redis_that_comes_back_counts_again(mortal, caplog):
    """For one more period a process also keeps to its own pace, since the new Redis has lost its counts."""
    store = shared_by_two(mortal)
    mortal.kill()
    assert store.acquire(PACED, 1000.0) == 0.0
    mortal.start()
    assert (
        store.acquire(PACED, 1000.0 + 2 * PACED.emission_interval_s) == 0.0
    )  # Redis, which is new, and the own pace allow it
    assert "answers again" in caplog.text
    assert store.acquire(PACED, 1000.0 + 2 * PACED.emission_interval_s) == pytest.approx(2 * PACED.emission_interval_s)
    later_s = 1000.0 + 2 * PACED.emission_interval_s + PACED.period_s
    assert store.acquire(PACED, later_s) == 0.0
    assert n_granted(store, PACED, later_s) == PACED.burst - 3  # the new Redis has counted two requests


def test_a_connection_that_was_closed_while_idle_is_opened_again(server, caplog):
    """Servers and proxies close idle connections; that does not count as an outage."""
    store = RedisStore(server.url, "k")
    store.acquire(PACED, 0.0)
    with redis.Redis.from_url(server.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert store.acquire(PACED, 0.0) == 0.0
    assert caplog.text == ""


def test_a_redis_that_never_answered_is_an_error_at_once_and_shows_no_password(tmp_path):
    """A process that has never reached Redis cannot know its share, and every call fails at once."""
    store = RedisStore(f"unix://user:hunter2@{tmp_path}/nothing-here", "k")
    for _ in range(3):
        with pytest.raises(RateLimitStoreError, match="never answered") as caught:
            store.acquire(PACED, 0.0)
        assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(store)


def test_a_redis_that_starts_later_is_used(mortal):
    """A process that starts before Redis works as soon as Redis answers."""
    store = RedisStore(mortal.url, "k")
    mortal.kill()
    with pytest.raises(RateLimitStoreError):
        store.acquire(PACED, 0.0)
    mortal.start()
    assert store.acquire(PACED, 60.0) == 0.0


def test_a_redis_that_accepts_but_never_answers_is_a_typed_error():
    """The timeout of the store ends the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "k", timeout_s=0.02)
        with pytest.raises(RateLimitStoreError):
            store.acquire(PACED, 0.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_is_one_more_client_of_the_limit(server):
    """Parent and child share the count, each over a connection of its own."""
    code = f"""
import os
from cohere_rerank.limits import RateLimit, RedisStore
store, limit = RedisStore({server.url!r}, "k"), RateLimit(requests=10, period_s=3600)
n = sum(store.acquire(limit, 0.0) == 0.0 for _ in range(4))
child = os.fork()
if child == 0:
    os._exit(sum(store.acquire(limit, 0.0) == 0.0 for _ in range(4)))
n += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(n + sum(store.acquire(limit, 0.0) == 0.0 for _ in range(4)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("10\n", "")
    with redis.Redis.from_url(server.url) as client:
        assert client.zcard("cohere-rerank:{k}:members") == 2


def test_without_the_package_the_extra_is_named(monkeypatch):
    """The constructor raises, not the first call."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "redis.backoff")
    with pytest.raises(ImportError, match=r'pip install "cohere-rerank\[redis\]"'):
        RedisStore("redis://localhost", "k")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost:6379", "k"), "must be a string that starts with redis://"),
        ((None, "k"), "must be a string that starts with redis://"),
        (("redis://localhost", " "), "must be a name"),
        (("redis://localhost", 3), "must be a name"),
        (("redis://localhost", "k", 0), "timeout_s"),
        (("redis://localhost", "k", "1"), "timeout_s"),
    ],
)
def test_a_store_that_cannot_work_is_refused(arguments, message):
    """The constructor raises."""
    with pytest.raises(InvalidRequestError, match=message):
        RedisStore(*arguments)


def test_a_limit_with_its_store_can_be_compared_and_pickled(server):
    """It can be a dict key and be sent to another process."""
    limit = RateLimit(per_minute=5, store=RedisStore(server.url, "k"))
    copy = pickle.loads(pickle.dumps(limit))
    assert {copy: 1} == {limit: 1}
    assert copy.store.acquire(copy, 0.0) == 0.0
