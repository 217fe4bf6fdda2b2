"""``api_key=[...]``: each key has its own limit, and a 429 moves a request to the next one."""

from __future__ import annotations

import pickle

import pytest

from cohere_rerank import ClientV2, RateLimit, errors
from cohere_rerank._key_ring import KeyRing
from cohere_rerank.limits import FileStore
from tests.adapters import is_async, resolve
from tests.client.calls import BEST_FIRST, CALL, ranking
from tests.fake_server import error, reply

KEYS = ["first-5ecret-key", "second-5ecret-key", "third-5ecret-key"]
USED_UP = "You are using a Trial key, which is limited to 1000 API calls / month."


def sent(server):
    """Return the position of the key of each request."""
    return [KEYS.index(request.header("authorization").removeprefix("Bearer ")) for request in server.requests]


# The rule ----------------------------------------------------------------------------------------


def test_a_key_is_used_until_it_must_wait():
    """Then the next in the circle that need not wait is used, and kept."""
    ring = KeyRing(3)
    assert [ring.choose(0, [0, 0, 0]) for _ in range(3)] == [0, 0, 0]
    assert ring.choose(0, [1, 0, 0]) == 1
    assert ring.choose(0, [0, 0, 0]) == 1
    assert ring.choose(0, [3, 2, 1]) == 2


def test_a_rejected_key_rests_and_comes_back():
    """For as long as the server asks. When all rest, the one that is free first is used."""
    ring = KeyRing(2)
    assert ring.record_rejection(0, 0.0, 7.0, is_used_up=False)
    assert ring.choose(0.0, [0, 0]) == 1
    assert not ring.record_rejection(1, 1.0, None, is_used_up=False)
    assert (ring.choose(2.0, [0, 0]), ring.wait_s(2.0)) == (0, 5.0)
    assert ring.choose(8.0, [0, 0]) == 0


def test_a_used_up_key_is_the_last_choice():
    """A key that must only wait is better. When all are used up, there is nothing to send with."""
    ring = KeyRing(2)
    ring.record_rejection(0, 0.0, 3600.0, is_used_up=False)
    assert ring.record_rejection(1, 0.0, None, is_used_up=True)
    assert ring.choose(1.0, [0, 0]) == 0
    assert not ring.record_rejection(0, 1.0, None, is_used_up=True)


# Calls -------------------------------------------------------------------------------------------


def test_a_429_moves_to_the_next_key_at_once(server, clock, make_either):
    """Without a wait, also for later calls. The events name the position of the key."""
    events = []
    server.script(error(429, "slow down"), error(429, "slow down"))
    client = make_either(KEYS, clock=clock, on_event=events.append)
    for _ in range(2):
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert (sent(server), clock.sleeps) == ([0, 1, 2, 2], [])
    requests = [event for event in events if type(event).__name__ == "RequestEvent"]
    assert [event.key_index for event in requests] == [0, 1, 2, 2]
    assert not any(key in repr(events) for key in KEYS)
    assert client.client.usage.requests == 4
    assert client.client.usage.retries == 0


def test_when_all_keys_are_limited_the_retries_wait_for_the_first(server, clock, make_either):
    """The wait ends when the first key may be used again, whichever key got the last 429."""
    hints = [reply(429, json={"message": "slow down"}, headers={"retry-after": str(s)}) for s in (5, 60, 30)]
    server.script(*hints)
    assert ranking(make_either(KEYS, clock=clock).rerank(**CALL)) == BEST_FIRST
    assert (sent(server), clock.sleeps) == ([0, 1, 2, 0], [5])


def test_a_used_up_quota_moves_on_and_ends_only_with_the_last_key(server, clock, make_either):
    """A batch ends with QuotaExceededError, so one used-up key must not raise it."""
    server.script(*[error(429, USED_UP)] * 3)
    client = make_either(KEYS, clock=clock)
    with pytest.raises(errors.QuotaExceededError) as caught:
        client.rerank(**CALL)
    assert (sent(server), caught.value.key_index) == ([0, 1, 2], 2)


def test_a_used_up_key_does_not_end_a_call_while_another_only_waits(server, clock, make_either):
    """The call waits for that one."""
    limited = reply(429, json={"message": "slow down"}, headers={"retry-after": "5"})
    server.script(limited, error(429, USED_UP), limited)
    assert ranking(make_either(KEYS[:2], clock=clock).rerank(**CALL)) == BEST_FIRST
    assert (sent(server), clock.sleeps) == ([0, 1, 0, 0], [5])


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_rejected_key_is_an_error_that_names_its_position(server, make_either, status):
    """And never the key. The other keys are not tried, because the list has a mistake that someone must correct."""
    server.script(error(429, "slow down"), error(status, f"{KEYS[1]} is not valid"))
    with pytest.raises(errors.ApiError, match=r"sent with api_key\[1\]") as caught:
        make_either(KEYS).rerank(**CALL)
    assert (caught.value.status_code, caught.value.key_index, sent(server)) == (status, 1, [0, 1])
    assert KEYS[1] not in f"{caught.value}{caught.value.body}{caught.value!r}"


def test_an_overloaded_model_is_not_about_the_key(server, clock, make_either):
    """Another key would not help."""
    server.script(reply(429, json={"error": "Model is overloaded", "error_type": "overloaded"}))
    make_either(KEYS, clock=clock).rerank(**CALL)
    assert sent(server) == [0, 0]


def test_each_key_has_its_own_limit(server, clock, make_either):
    """Two keys with two requests a minute send four requests at once; the fifth waits."""
    client = make_either(KEYS[:2], clock=clock, limit=RateLimit(per_minute=2, name="each key"))
    for n in range(5):
        assert (sum(clock.sleeps) >= 59, n) == (n > 4, n)
        client.rerank(**CALL)
    assert sorted(sent(server)[:4]) == [0, 0, 1, 1]
    assert sum(clock.sleeps) >= 59


def test_a_batch_uses_all_keys(server, clock, make_either):
    """Every row is answered, and each key keeps to its limit."""
    client = make_either(KEYS, clock=clock, limit=RateLimit(per_minute=4, name="batch of keys"))
    rows = [{"id": n, **CALL} for n in range(12)]

    async def collect():
        return [outcome async for _, outcome in client.client.rerank_many(rows)]

    if is_async(client):
        outcomes = resolve(client, collect())
    else:
        outcomes = [outcome for _, outcome in client.client.rerank_many(rows)]
    assert [ranking(outcome) for outcome in outcomes] == [BEST_FIRST] * 12
    assert sorted(sent(server)) == [0] * 4 + [1] * 4 + [2] * 4
    assert clock.sleeps == []


def test_copies_share_what_is_known_about_the_keys(server, clock, make_either):
    """A key that got a 429 is not used by a copy either. A copy can have other keys."""
    server.script(error(429, "slow down"))
    client = make_either(KEYS, clock=clock)
    client.rerank(**CALL)
    resolve(client, client.client.with_options(tag="t").rerank(**CALL))
    resolve(client, client.client.with_options(api_key=KEYS[2]).rerank(**CALL))
    assert sent(server) == [0, 1, 1, 2]


def test_functions_are_keys_too(server, make_either):
    """A function is called before each request with its key."""
    calls = []

    def renewed():
        calls.append(1)
        return KEYS[0]

    server.script(error(429, "slow down"))
    make_either([renewed, KEYS[1]]).rerank(**CALL)
    assert (sent(server), len(calls)) == ([0, 1], 1)


# Bad lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([], "api_key must not be an empty list"),
        ([KEYS[0], ""], r"api_key\[1\] is empty"),
        ([KEYS[0], KEYS[1], KEYS[0]], r"api_key\[2\] is the same key as api_key\[0\]"),
        ([KEYS[0], 5], r"api_key\[1\] must be a string or a function, got int"),
        ([KEYS[0], KEYS[1] + "\n"], r"api_key\[1\] must be printable ASCII"),
    ],
)
def test_a_list_with_a_mistake_is_refused_by_position(keys, says):
    """Without the keys."""
    with pytest.raises(errors.InvalidRequestError, match=says) as caught:
        ClientV2(keys)
    assert not any(key in str(caught.value) for key in KEYS)


def test_a_store_for_several_keys_is_refused(tmp_path):
    """It counts the requests of one key, so several keys would share one limit."""
    limit = RateLimit(per_minute=10, store=FileStore(tmp_path / "limit"))
    with pytest.raises(errors.InvalidRequestError, match=r"limit has a store.*api_key has 3 keys"):
        ClientV2(KEYS, limit=limit)


def test_keys_are_neither_shown_nor_pickled(monkeypatch):
    """A pickle of a client with several keys uses the key of the environment of its reader, as with one key."""
    client = ClientV2(KEYS)
    assert not any(key in f"{client!r}{client._config!r}{client._config.api_key!r}" for key in KEYS)
    data = pickle.dumps(client)
    assert not any(key.encode() in data for key in KEYS)
    monkeypatch.setenv("CO_API_KEY", "of-the-reader")
    assert pickle.loads(data)._config.api_key.value == "of-the-reader"


def test_a_list_of_one_key_is_that_key(server, make_either):
    """Errors then name no position."""
    server.script(error(401, "no"))
    with pytest.raises(errors.UnauthorizedError) as caught:
        make_either(KEYS[:1]).rerank(**CALL)
    assert (caught.value.key_index, "api_key[" in str(caught.value)) == (None, False)
