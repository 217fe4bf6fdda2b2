"""Retries as a caller sees them: how many, after which waits, and the final error. No test sleeps."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cohere_rerank import RetryPolicy, errors
from cohere_rerank.limits import CircuitBreaker
from tests.adapters import resolve
from tests.fake_server import error, good_reply, hang_up, reply

CALL: dict[str, Any] = {"model": "rerank-v3.5", "query": "birds", "documents": ["a penguin", "a train"]}
EXACT = RetryPolicy(jitter=0)  # waits that can be written down
PER_MINUTE = RetryPolicy(rate_limit_window_s=60)


def fails(client, kind=errors.ApiError, **call):
    """The error of a call."""
    with pytest.raises(kind) as caught:
        client.rerank(**CALL, **call)
    return caught.value


# How often ---------------------------------------------------------------------------------------


def test_two_repeats_are_the_default(server, clock, make_either):
    """Three requests with the same bytes, two waits, then the last error as itself."""
    server.script(error(503, "one"), hang_up(), error(502, "three"))
    failure = fails(make_either(clock=clock), errors.BadGatewayError)
    assert len({request.body for request in server.requests}) == 1
    assert failure.attempts == len(server.requests) == 3
    assert failure.waited_s == sum(clock.sleeps)
    assert "three" in str(failure)
    assert "3 attempts" in str(failure)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_max_retries_counts_the_repeats(server, clock, make_either, n):
    """0 means one request: for the client, for a copy, and for a call."""
    server.default = error(500, "no")
    adapter = make_either(clock=clock, max_retries=n)
    assert fails(adapter).attempts == n + 1
    assert fails(make_either(clock=clock), request_options={"max_retries": n}).attempts == n + 1
    adapter = make_either(clock=clock)
    with pytest.raises(errors.InternalServerError) as caught:
        resolve(adapter, adapter.client.with_options(max_retries=n).rerank(**CALL))
    assert caught.value.attempts == n + 1
    assert len(server.requests) == 3 * (n + 1)


def test_a_calls_max_retries_outranks_the_clients(server, clock, make_either):
    """And None leaves the client's."""
    server.default = error(500, "no")
    client = make_either(clock=clock, max_retries=1)
    for given, attempts in [(3, 4), (0, 1), (None, 2)]:
        assert fails(client, request_options={"max_retries": given}).attempts == attempts


def test_a_policy_decides_what_is_repeated(server, clock, make_either):
    """Statuses are added and taken away; ``max_retries=`` outranks the policy's own."""
    policy = RetryPolicy(max_retries=4, retry_statuses=frozenset({404}), no_retry_statuses=frozenset({503}))
    client = make_either(clock=clock, retry_policy=policy)
    counts = {404: 5, 429: 1, 500: 5, 501: 5, 503: 1}
    for status, attempts in counts.items():
        server.default = error(status, "no")
        assert fails(client).attempts == attempts
    server.default = error(404, "no")
    assert fails(make_either(clock=clock, retry_policy=policy, max_retries=1)).attempts == 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 498, 499, 501])
def test_what_a_repeat_cannot_mend_is_raised_at_once(server, clock, make_either, status):
    """One request, no wait."""
    server.default = error(status, "no")
    failure = fails(make_either(clock=clock))
    assert (failure.status_code, failure.attempts, failure.waited_s) == (status, 1, 0)
    assert (len(server.requests), clock.sleeps) == (1, [])


def test_a_monthly_quota_is_raised_at_once(server, clock, make_either):
    """Also when the server adds a hint; the error is still a TooManyRequestsError."""
    message = "You are using a Trial key, which is limited to 1000 API calls / month."
    server.default = error(429, message, headers={"retry-after": "1"})
    failure = fails(make_either(clock=clock), errors.QuotaExceededError)
    assert isinstance(failure, errors.TooManyRequestsError)
    assert (len(server.requests), clock.sleeps) == (1, [])


def test_a_repeat_that_fails_for_good_ends_the_call(server, clock, make_either):
    """The error that ends it is the one that is raised, and it counts all attempts."""
    server.script(error(503, "later"), error(400, "no"))
    failure = fails(make_either(clock=clock, retry_policy=EXACT), errors.BadRequestError)
    assert (failure.attempts, failure.waited_s, len(server.requests)) == (2, 0.5, 2)


def test_a_broken_answer_after_a_repeat_ends_the_call(server, clock, make_either):
    """A request is not retried after a reply that breaks the contract."""
    server.script(error(503, "later"), reply(json={"results": None}))
    failure = fails(make_either(clock=clock), errors.InvalidResponseError)
    assert (failure.attempts, len(server.requests)) == (2, 2)


def test_what_a_key_function_raises_at_a_repeat_comes_through(server, clock, make_either):
    """The caller's own error is not wrapped there either."""

    class VaultSealedError(Exception):
        pass

    keys = iter(["first"])

    def fetch():
        for key in keys:
            return key
        raise VaultSealedError

    server.default = error(503, "later")
    with pytest.raises(VaultSealedError):
        make_either(fetch, clock=clock).rerank(**CALL)
    assert len(server.requests) == 1


# How long ----------------------------------------------------------------------------------------


def test_waits_double_up_to_a_limit(server, clock, make_either):
    """From half a second, up to 30 s."""
    server.default = error(503, "later")
    fails(make_either(clock=clock, retry_policy=EXACT, max_retries=9))
    assert clock.sleeps == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_waits_are_spread(server, clock, make_either):
    """By a fifth in either direction, so that clients do not come back in step."""
    server.default = error(503, "later")
    client = make_either(clock=clock, max_retries=1)
    for _ in range(20):
        fails(client)
    assert all(0.4 <= wait <= 0.6 for wait in clock.sleeps)
    assert len(set(clock.sleeps)) > 10


HINTS: list[tuple[dict[str, str], float]] = [
    ({"retry-after": "7"}, 7),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": "200"}, 200),
    ({"retry-after-ms": "1500"}, 1.5),
    ({"retry-after": "Tue, 14 Nov 2023 22:13:40 GMT"}, 20),
    ({"retry-after": "Tuesday, 14-Nov-23 22:13:40 GMT"}, 20),
    ({"retry-after": "Tue Nov 14 22:13:40 2023"}, 20),
    ({"retry-after": "1700000020"}, 20),
    # A hint of no time waits for the usual first wait: no stampede.
    ({"Retry-After": "0"}, 0.5),
    ({"retry-after": "-3"}, 0.5),
    ({"retry-after-ms": "10", "retry-after": "7"}, 0.5),
    ({"retry-after": "Mon, 13 Nov 2023 22:13:40 GMT"}, 0.5),
]
RESETS: list[tuple[dict[str, str], float]] = [
    ({"x-ratelimit-reset": "12"}, 12),
    ({"x-ratelimit-reset": "1700000030"}, 30),
    ({"x-ratelimit-reset": "1700000030000"}, 30),
    ({"x-ratelimit-reset": "12", "retry-after": "7"}, 7),
    ({"retry-after": "soon", "x-ratelimit-reset": "12"}, 12),
]


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [(status, *hint) for status in (429, 503) for hint in HINTS] + [(429, *hint) for hint in RESETS],
    ids=str,
)
def test_a_hint_is_waited_for(server, clock, make_either, status, headers, wait_s):
    """In each form, on each status that is retried. The wait is neither shorter nor longer."""
    server.script(error(status, "later", headers=headers))
    assert make_either(clock=clock, retry_policy=EXACT).rerank(**CALL).results
    assert clock.sleeps == [pytest.approx(wait_s)]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_the_reset_of_a_quota_is_no_order_to_wait(server, clock, make_either, status):
    """On a 5xx the header describes the quota. The usual wait is enough."""
    server.script(error(status, "later", headers={"x-ratelimit-reset": "3600"}))
    assert make_either(clock=clock, retry_policy=EXACT).rerank(**CALL).results
    assert clock.sleeps == [0.5]


@pytest.mark.parametrize("value", ["9" * 300, "1800000000", "86400001", "Sat, 14 Nov 2099 22:13:40 GMT"])
def test_a_hint_of_more_than_a_day_is_ignored(server, clock, make_either, value):
    """One reply must not stop a program for years."""
    headers = {"retry-after": value}
    server.script(error(429, "later", headers=headers), error(503, "later", headers=headers))
    assert make_either(clock=clock).rerank(**CALL).results
    assert sum(clock.sleeps) < 100


def test_a_date_is_read_by_the_servers_clock(server, clock, make_either):
    """Our clock may be wrong by hours: the reply's Date says what the server's clock shows."""
    headers = {"retry-after": "Tue, 14 Nov 2023 10:00:20 GMT", "date": "Tue, 14 Nov 2023 10:00:00 GMT"}
    server.script(error(503, "later", headers=headers))
    assert make_either(clock=clock, retry_policy=EXACT).rerank(**CALL).results
    assert clock.sleeps == [20]


@pytest.mark.parametrize("value", ["soon", "", "nan", "inf", "1e999", "Tue, 14 Frimaire 232"])
def test_an_unreadable_hint_is_no_hint(server, clock, make_either, value):
    """The usual wait takes its place."""
    server.default = error(503, "later", headers={"retry-after": value})
    failure = fails(make_either(clock=clock, retry_policy=EXACT))
    assert failure.retry_after is None
    assert clock.sleeps == [0.5, 1]


def test_a_hint_longer_than_what_is_left_fails_at_once(server, clock, make_either):
    """No wait that leads nowhere; the error has the hint, and says both numbers."""
    server.default = error(429, "slow down", headers={"retry-after": "20"})
    failure = fails(make_either(clock=clock, deadline=30), errors.TooManyRequestsError)
    assert (failure.retry_after, failure.attempts, failure.waited_s) == (20, 2, 20)
    assert "20 s" in str(failure)
    assert "10 s of the deadline remain" in str(failure)
    assert clock.sleeps == [20]


def test_a_429_without_a_hint_is_spread_over_the_minute(server, clock, make_either):
    """A server that counts requests per minute gets the last retry after a minute."""
    server.default = error(429, "slow down")
    for n in (1, 2, 4):
        clock.sleeps.clear()
        fails(make_either(clock=clock, max_retries=n, retry_policy=PER_MINUTE), errors.TooManyRequestsError)
        assert len(clock.sleeps) == n
        assert 60 <= sum(clock.sleeps) <= 72
        assert max(clock.sleeps) < 2 * min(clock.sleeps)


def test_a_429_without_a_hint_makes_do_with_the_deadline(server, clock, make_either):
    """All retries are sent, also if less than a minute remains."""
    server.default = error(429, "slow down")
    failure = fails(make_either(clock=clock, deadline=9, retry_policy=PER_MINUTE), errors.TooManyRequestsError)
    assert failure.attempts == 3
    assert clock.sleeps == [pytest.approx(3), pytest.approx(3)]


@pytest.mark.parametrize(
    ("url", "longest_s", "total_s"),
    [("https://api.cohere.com", 36, 72), ("https://api.cohere.ai/v1", 36, 72), ("http://127.0.0.1:8080", 1.2, 1.8)],
)
def test_only_cohere_is_given_a_minute(clock, make_either, respx_mock, url, longest_s, total_s):
    """A 429 of another server is retried with the usual backoff, because nothing is known about its periods."""
    respx_mock.post(f"{url.removesuffix('/v1')}/v2/rerank").respond(429, json={"message": "slow down"})
    fails(make_either(base_url=url, clock=clock), errors.TooManyRequestsError)
    assert max(clock.sleeps) <= longest_s
    assert total_s / 2 <= sum(clock.sleeps) <= total_s


# A model that is not ready -----------------------------------------------------------------------

OVERLOADED = reply(429, json={"error": "Model is overloaded", "error_type": "overloaded"})
LOADING = reply(503, json={"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})


@pytest.mark.parametrize("busy", [OVERLOADED, LOADING], ids=["overloaded", "loading"])
def test_a_busy_model_is_waited_for_beyond_the_retries(server, clock, make_either, busy):
    """It is asked again, with a growing wait, until it is ready."""
    server.script(*[busy] * 7)
    response = make_either(clock=clock, retry_policy=EXACT).rerank(**CALL)
    assert (response.attempts, clock.sleeps) == (8, [0.5, 1, 2, 4, 8, 16, 30])


@pytest.mark.parametrize("busy", [OVERLOADED, LOADING], ids=["overloaded", "loading"])
def test_a_busy_model_is_waited_for_until_the_deadline(server, clock, make_either, busy):
    """The last request comes near the deadline. The error is that of the server, and says that time ran out."""
    server.default = busy
    failure = fails(make_either(clock=clock, retry_policy=EXACT), deadline=60)
    assert 59 <= sum(clock.sleeps) < 60
    assert failure.attempts == len(server.requests) > 7
    assert "the model was not ready within the deadline of 60 s" in str(failure)


@pytest.mark.parametrize(
    "options", [{"max_retries": 0}, {"fallback": "local"}, {"fallback": "local", "max_retries": 1}]
)
def test_a_busy_model_is_not_waited_for_in_vain(server, clock, make_either, options):
    """Without retries the error is raised at once. A fallback answers after the usual number of retries."""
    server.default = LOADING
    client = make_either(clock=clock, **options)
    if "fallback" in options:
        assert client.rerank(**CALL).answered_by == "local-lexical"
    else:
        fails(client, errors.ServiceUnavailableError)
    assert len(server.requests) == 1 + options.get("max_retries", 2)


def test_a_busy_model_opens_no_circuit_and_uses_no_budget(server, clock, make_either):
    """The server works. It answers as soon as it can."""
    server.script(*[LOADING] * 6)
    breaker = CircuitBreaker(max_failures=2)
    client = make_either(clock=clock, circuit_breaker=breaker, retry_policy=RetryPolicy(budget=0))
    assert client.rerank(**CALL).attempts == 7


# The deadline ------------------------------------------------------------------------------------


def test_a_wait_that_does_not_fit_is_not_begun(server, clock, make_either):
    """The last failure is raised while there is time left, rather than a deadline error later."""
    server.default = error(503, "later")
    failure = fails(make_either(clock=clock, retry_policy=EXACT, max_retries=5), deadline=2)
    assert isinstance(failure, errors.ServiceUnavailableError)
    assert (failure.attempts, clock.sleeps) == (3, [0.5, 1])


def test_the_deadline_counts_everything(server, clock, make_either):
    """Waits, requests, and the time a key function takes: what is past it is not sent."""

    def slow_key():
        clock.advance(4)
        return "key"

    server.default = error(503, "later")
    client = make_either(slow_key, clock=clock, retry_policy=EXACT, deadline=10)
    failure = fails(client, errors.DeadlineExceededError)
    assert (failure.attempts, len(server.requests)) == (3, 2)
    assert failure.waited_s == 1.5
    assert "10 s" in str(failure)
    assert isinstance(failure, TimeoutError)


def test_300_seconds_are_the_default(server, clock, make_either):
    """No call is unbounded."""
    server.default = error(503, "later", headers={"retry-after": "299"})
    assert fails(make_either(clock=clock)).attempts == 2
    server.default = error(503, "later", headers={"retry-after": "300"})
    assert fails(make_either(clock=clock)).attempts == 1


def test_every_call_has_its_own_deadline(server, clock, make_either):
    """Time spent by one call is not taken from the next."""
    client = make_either(clock=clock, deadline=10)
    for _ in range(5):
        server.script(error(503, "later", headers={"retry-after": "9"}))
        assert client.rerank(**CALL).results
    assert sum(clock.sleeps) == 45


# The budget --------------------------------------------------------------------------------------


def test_an_outage_is_not_met_with_a_multiple_of_the_load(server, clock, make_either):
    """Calls share a budget of 100 open retries. When it is used up, a failure is raised at once and says so."""
    server.default = error(503, "down")
    client = make_either(clock=clock)
    failures = [fails(client) for _ in range(150)]
    assert len(server.requests) == 150 + 100
    assert [failure.attempts for failure in failures] == [3] * 50 + [1] * 100
    assert "budget" in str(failures[-1])
    assert "budget" not in str(failures[0])


def test_copies_share_the_budget(server, clock, make_either):
    """with_options does not get around it."""
    server.default = error(503, "down")
    adapter = make_either(clock=clock, retry_policy=RetryPolicy(budget=3))
    twin = adapter.client.with_options(max_retries=5)
    assert fails(adapter).attempts == 3
    with pytest.raises(errors.ServiceUnavailableError) as caught:
        resolve(adapter, twin.rerank(**CALL))
    assert caught.value.attempts == 2
    assert fails(adapter).attempts == 1


def test_successes_refill_the_budget(server, clock, make_either):
    """A retry that succeeds returns its token. After an outage ten successes allow one retry."""
    client = make_either(clock=clock, retry_policy=RetryPolicy(budget=1))
    for _ in range(3):
        server.script(error(503, "once"))
        assert client.rerank(**CALL).results
    server.default = error(503, "down")
    assert [fails(client).attempts for _ in range(3)] == [2, 1, 1]
    server.default = good_reply()
    for _ in range(11):
        client.rerank(**CALL)
    server.default = error(503, "down")
    assert [fails(client).attempts for _ in range(2)] == [2, 1]


def test_rate_limits_do_not_draw_on_the_budget(server, clock, make_either):
    """Their waits are the server's own."""
    client = make_either(clock=clock, retry_policy=RetryPolicy(budget=0))
    server.default = error(429, "slow down")
    assert fails(client).attempts == 3
    server.default = error(503, "down")
    assert fails(client).attempts == 1


# Traces ------------------------------------------------------------------------------------------


def test_each_repeat_is_logged_once(server, clock, make_either, caplog):
    """On the logger ``cohere_rerank``, at INFO: what failed and how long the wait is."""
    caplog.set_level(logging.INFO, "cohere_rerank")
    server.script(error(503, "later"), error(429, "slow down", headers={"retry-after": "7"}))
    make_either(clock=clock, retry_policy=EXACT).rerank(**CALL)
    ours = [record for record in caplog.records if record.name == "cohere_rerank"]
    assert [record.levelname for record in ours] == ["INFO", "INFO"]
    assert "503" in ours[0].getMessage()
    assert "0.5 s" in ours[0].getMessage()
    assert "7 s" in ours[1].getMessage()


def test_a_success_writes_no_line_above_debug(server, clock, make_either, caplog):
    """A call that works is silent at INFO."""
    caplog.set_level(logging.INFO, "cohere_rerank")
    make_either(clock=clock).rerank(**CALL)
    assert [record for record in caplog.records if record.name == "cohere_rerank"] == []
