"""``hedge=``: a late request is sent a second time, the first answer counts, and the other request is cancelled."""

from __future__ import annotations

import pytest

from cohere_rerank import CircuitBreaker, ClientV2, Hedge, RateLimit, errors
from cohere_rerank.events import HedgeEvent
from cohere_rerank.limits import FileStore
from tests.adapters import is_async, resolve
from tests.client.calls import BEST_FIRST, CALL, ranking
from tests.fake_server import Server, error, hang, hang_up

N_WARM = 4  # calls after which a second request may be sent
EAGER = Hedge(max_extra=0.5, min_samples=N_WARM)


def warm(client, n=N_WARM):
    for _ in range(n):
        client.rerank(**CALL)


@pytest.fixture
def warmed(server, make_either):
    """``warmed(**options)``: a client that knows the latency of the server."""

    def make(**options):
        client = make_either(**{"hedge": EAGER, **options})
        warm(client)
        assert len(server.requests) == N_WARM
        return client

    return make


def test_a_late_request_is_sent_again_and_the_first_answer_counts(server, warmed):
    """The loser's connection is closed and not used again. Usage, response and events tell what happened."""
    events = []
    client = warmed(on_event=events.append)
    server.script(hang())
    response = client.rerank(**CALL)
    assert ranking(response) == BEST_FIRST
    assert len(server.requests) == N_WARM + 2
    assert len({request.body for request in server.requests}) == 1
    usage = client.client.usage
    assert (response.attempts, usage.hedges, usage.requests, usage.retries) == (2, 1, N_WARM + 2, 0)
    (event,) = [event for event in events if isinstance(event, HedgeEvent)]
    assert event.after_s >= 0
    server.wait_until(lambda seen: seen.n_open == 1)
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert server.n_connections == 2


def test_the_answer_of_the_first_request_counts_if_it_comes_first(server, warmed):
    """Then the second one is cancelled."""
    client = warmed()
    with server.hold_replies():  # both are late, and both are answered
        pending = start(client)
        server.wait_until(lambda seen: len(seen.requests) == N_WARM + 2)
    assert ranking(pending()) == BEST_FIRST
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert client.client.usage.failed_calls == 0


def start(client):
    """Begin a call in a thread, and return a function that returns its response."""
    from concurrent.futures import ThreadPoolExecutor

    executor = ThreadPoolExecutor(1)
    future = executor.submit(client.rerank, **CALL)
    executor.shutdown(wait=False)
    return lambda: future.result(30)


@pytest.mark.parametrize("failure", [error(503, "no"), hang_up()], ids=["status", "disconnect"])
def test_the_answer_counts_and_not_the_failure(server, warmed, failure):
    """If one request fails, the other is waited for."""
    client = warmed(max_retries=0)
    with server.hold_replies():
        server.script(failure)
        pending = start(client)
        server.wait_until(lambda seen: len(seen.requests) == N_WARM + 2)
    assert ranking(pending()) == BEST_FIRST


def test_two_failures_are_the_failure_of_the_first_request(server, warmed):
    """It is retried as usual."""
    client = warmed(max_retries=0)
    with server.hold_replies():
        server.script(error(503, "one"), error(500, "two"))
        pending = start(client)
        server.wait_until(lambda seen: len(seen.requests) == N_WARM + 2)
    with pytest.raises(errors.ServiceUnavailableError, match="one"):
        pending()


def test_the_deadline_bounds_both(server, warmed):
    """When neither answers, the error is that of the deadline, and both connections are closed."""
    client = warmed(max_retries=0)
    server.default = hang()
    with pytest.raises(errors.DeadlineExceededError, match=r"longer than its deadline of 0\.5 s"):
        client.rerank(**CALL, deadline=0.5)
    server.wait_until(lambda seen: seen.n_open == 0)


# When it is never sent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"limit": RateLimit(per_minute=N_WARM + 1, name="near the limit")},
        {"hedge": None},
        {"hedge": Hedge(max_extra=0.5)},
        {"hedge": Hedge(max_extra=0.001, min_samples=N_WARM)},
        {"dialect": "auto"},
    ],
    ids=["near the limit", "off", "few answers", "share used up", "dialect unknown"],
)
def test_no_second_request(server, warmed, options):
    """The one request is waited for until the deadline."""
    client = warmed(max_retries=0, **options)
    server.script(hang())
    with pytest.raises(errors.DeadlineExceededError):
        client.rerank(**CALL, deadline=0.6)
    assert len(server.requests) == N_WARM + 1


def test_no_second_request_with_a_shared_limit(server, warmed, tmp_path):
    """Other processes may need the room."""
    client = warmed(max_retries=0, limit=RateLimit(per_minute=1000, store=FileStore(tmp_path / "limit")))
    server.script(hang())
    with pytest.raises(errors.DeadlineExceededError):
        client.rerank(**CALL, deadline=0.6)
    assert len(server.requests) == N_WARM + 1


def test_no_second_request_without_retry_budget(server, warmed):
    """In an outage, second requests would add to the load."""
    client = warmed(max_retries=0)
    client.client._calls._budget(client.client._calls._policy(client.client._calls.encode(**CALL)))._n_tokens = 0.0
    server.script(hang())
    with pytest.raises(errors.DeadlineExceededError):
        client.rerank(**CALL, deadline=0.6)
    assert len(server.requests) == N_WARM + 1


def test_no_second_request_for_a_probe(server, make_either, clock):
    """One request probes a server whose circuit is open."""
    breaker = CircuitBreaker(max_failures=1, open_s=5)
    client = make_either(hedge=EAGER, circuit_breaker=breaker, clock=clock, max_retries=0)
    warm(client)
    calls = client.client._calls
    (part,) = calls._parts(calls.encode(**CALL))
    assert calls._hedge_delay_s(part) is not None
    calls._circuit().record_failure(clock.monotonic(), "down")
    assert calls._hedge_delay_s(part) is None
    clock.advance(5)
    calls._circuit().try_acquire(clock.monotonic())
    assert calls._hedge_delay_s(part) is None
    calls._circuit().record_success()
    assert calls._hedge_delay_s(part) is not None


def test_a_batch_sends_no_second_requests(server, warmed):
    """Its throughput counts, and not the latency of a row."""
    client = warmed()
    rows = [{"id": n, **CALL} for n in range(6)]

    async def collect():
        return [outcome async for _, outcome in client.client.rerank_many(rows, concurrency=1)]

    if is_async(client):
        outcomes = resolve(client, collect())
    else:
        outcomes = [outcome for _, outcome in client.client.rerank_many(rows, concurrency=1)]
    assert [ranking(outcome) for outcome in outcomes] == [BEST_FIRST] * 6
    assert client.client.usage.hedges == 0


def test_a_limit_counts_second_requests_too(server, warmed):
    """With room they are sent, and take a permit each."""
    client = warmed(limit=RateLimit(per_minute=1000, name="room"))
    server.script(hang())
    client.rerank(**CALL)
    calls = client.client._calls
    limiter = calls._limiter(calls.config.api_key)
    assert client.client.usage.hedges == 1
    assert limiter._n_in_flight == 0


def test_the_local_engine_is_never_asked_twice(make_either):
    """It has no tail."""
    client = make_either(base_url="local:", hedge=EAGER)
    warm(client)
    assert client.client.usage.hedges == 0


def test_a_second_request_over_tls_is_cancelled_too(make_either, tmp_path):
    """The connection of the loser is shut down below TLS."""
    with Server(tls="trusted") as server:
        client = make_either(base_url=server.url, hedge=EAGER, verify=server.write_authority(tmp_path / "ca.pem"))
        warm(client)
        server.script(hang())
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
        server.wait_until(lambda seen: seen.n_open == 1)
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
        assert server.n_connections == 2
        resolve(client, client.client.close())


def test_a_wrong_hedge_is_refused():
    """The error says what to pass."""
    with pytest.raises(errors.InvalidRequestError, match=r"hedge must be a Hedge, got True; pass Hedge\(\)"):
        ClientV2("k", hedge=True)
