"""A circuit breaker: calls to a server that fails are not sent, one request probes it, and a change is logged once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import CircuitBreaker, CircuitOpenError, InvalidRequestError, RateLimit, ServiceUnavailableError
from cohere_rerank.events import BreakerEvent
from cohere_rerank.limits.circuit_breaker import Circuit, circuit_for
from tests.fake_server import error, good_reply, reply

CALL = {"model": "m", "query": "q", "documents": ["a", "b"]}
BREAKER = CircuitBreaker(max_failures=3, open_s=5, max_open_s=12)


@pytest.fixture
def down(server):
    server.default = error(503, "down")
    return server


def opened(now_s=0.0):
    circuit = Circuit(BREAKER)
    for _ in range(3):
        assert circuit.try_acquire(now_s) == 0.0
        circuit.record_failure(now_s)
    return circuit


# The decision ---------------------------------------------------------------------------------------


def test_a_circuit_opens_after_so_many_failures_in_a_row():
    """A success in between starts the count again."""
    circuit = Circuit(BREAKER)
    for fails in (True, True, False, True, True):
        circuit.record_failure(0.0) if fails else circuit.record_success()
    assert circuit.try_acquire(0.0) == 0.0
    circuit.record_failure(0.0)
    assert circuit.try_acquire(1.0) == pytest.approx(4.0)


def test_one_request_probes_the_server_and_a_success_closes_the_circuit():
    """While the probe is in flight, others are held back."""
    circuit = opened()
    assert circuit.try_acquire(5.0) == 0.0
    assert circuit.state == "half-open"
    assert circuit.try_acquire(5.1) > 0
    circuit.record_success()
    assert [circuit.try_acquire(5.2) for _ in range(3)] == [0.0] * 3


def test_a_failed_probe_doubles_the_wait_up_to_the_longest():
    """5, 10, then 12 seconds."""
    circuit, now_s, waits_s = opened(), 5.0, []
    for _ in range(3):
        assert circuit.try_acquire(now_s) == 0.0
        circuit.record_failure(now_s)
        waits_s.append(circuit.try_acquire(now_s))
        now_s += waits_s[-1]
    assert waits_s == [10.0, 12.0, 12.0]


def test_a_probe_that_never_ends_does_not_keep_the_circuit_open():
    """A cancelled call reports nothing; the next probe follows after open_s."""
    circuit = opened()
    assert circuit.try_acquire(5.0) == 0.0
    assert circuit.try_acquire(9.9) == pytest.approx(0.1)
    assert circuit.try_acquire(10.0) == 0.0


def test_failures_of_requests_that_were_sent_before_do_not_prolong_the_wait():
    """Only the failure of a probe does."""
    circuit = opened()
    for now_s in (1.0, 2.0, 3.0):
        circuit.record_failure(now_s)
    assert circuit.try_acquire(4.0) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.sampled_from(["ask", "success", "failure"]), st.floats(0, 20)), max_size=60))
def test_a_wait_is_never_longer_than_the_longest(steps):
    """Whatever happens in whatever order."""
    circuit, now_s = Circuit(BREAKER), 0.0
    for action, gap_s in steps:
        now_s += gap_s
        if action == "ask":
            assert 0 <= circuit.try_acquire(now_s) <= BREAKER.max_open_s
        elif action == "success":
            circuit.record_success()
        else:
            circuit.record_failure(now_s)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_failures": 0}, "max_failures must be a whole number, at least 1, got 0"),
        ({"max_failures": None}, "max_failures must be a whole number, at least 1, got None"),
        ({"open_s": 0}, "open_s must be a number of seconds above 0, got 0"),
        ({"open_s": "5"}, "open_s must be a number"),
        ({"open_s": 70}, r"max_open_s must be at least open_s \(70 s\), got 60"),
    ],
)
def test_invalid_settings_are_rejected(values, message):
    """The error contains the argument, its value and what is allowed."""
    with pytest.raises(InvalidRequestError, match=message):
        CircuitBreaker(**values)


# With clients ---------------------------------------------------------------------------------------


def test_calls_to_a_server_that_is_down_are_not_sent(down, make_either, clock):
    """After three failures they fail at once, with an error that says when the next one is sent."""
    client = make_either(circuit_breaker=BREAKER, clock=clock, max_retries=0)
    for _ in range(3):
        with pytest.raises(ServiceUnavailableError):
            client.rerank(**CALL)
    for _ in range(10):
        with pytest.raises(CircuitOpenError, match=r"failed several times in a row \(last: .*status 503") as caught:
            client.rerank(**CALL)
    assert len(down.requests) == 3
    assert caught.value.wait_s == pytest.approx(5)
    assert caught.value.attempts == 0
    assert isinstance(caught.value, httpx.ConnectError)
    assert client.client.usage.circuit_open == 10


def test_the_server_is_used_again_once_a_probe_succeeds(down, make_either, clock, caplog):
    """Each change is one line in the log and one event."""
    caplog.set_level("INFO", "cohere_rerank")
    events = []
    client = make_either(circuit_breaker=BREAKER, clock=clock, max_retries=0, on_event=events.append)
    for _ in range(5):
        with pytest.raises((ServiceUnavailableError, CircuitOpenError)):
            client.rerank(**CALL)
    down.default = good_reply()
    clock.advance(5)
    for _ in range(3):
        assert client.rerank(**CALL).results
    assert [event.state for event in events if isinstance(event, BreakerEvent)] == ["open", "half-open", "closed"]
    lines = [line for line in caplog.messages if "127.0.0.1" in line]
    assert ["failures in a row: 3" in lines[0], "as a probe" in lines[1], "answers again" in lines[2]] == [True] * 3
    assert len(lines) == 3


def test_retries_count_and_stop_when_the_circuit_opens(down, make_either, clock):
    """One call with many retries sends three requests and no more."""
    client = make_either(circuit_breaker=BREAKER, clock=clock, max_retries=9)
    with pytest.raises(CircuitOpenError):
        client.rerank(**CALL)
    assert len(down.requests) == 3


def test_the_fallback_answers_while_the_circuit_is_open(down, make_either, clock):
    """It costs no request and no wait."""
    client = make_either(circuit_breaker=BREAKER, clock=clock, max_retries=0, fallback="local")
    for _ in range(8):
        assert client.rerank(**CALL).is_fallback
    assert len(down.requests) == 3
    assert clock.sleeps == []


def test_clients_share_a_circuit(down, make_either, clock):
    """As they share a limit: with the same settings, address and clock, whatever their key."""
    for key in ("one", "two", "three"):
        with pytest.raises(ServiceUnavailableError):
            make_either(key, circuit_breaker=BREAKER, clock=clock, max_retries=0).rerank(**CALL)
    with pytest.raises(CircuitOpenError):
        make_either("four", circuit_breaker=BREAKER, clock=clock, max_retries=0).rerank(**CALL)
    for other in ({"circuit_breaker": CircuitBreaker(max_failures=4)}, {}):
        with pytest.raises(ServiceUnavailableError):
            make_either("four", clock=clock, max_retries=0, **other).rerank(**CALL)


@pytest.mark.parametrize("answer", [error(429, "slow down"), error(404, "no such model"), reply(400)])
def test_an_answer_that_refuses_a_request_is_no_failure_of_the_server(server, make_either, clock, answer):
    """A server that refuses is not down; a 429 is the limiter's business."""
    server.default = answer
    client = make_either(circuit_breaker=BREAKER, clock=clock, max_retries=0)
    for _ in range(6):
        with pytest.raises(Exception) as caught:
            client.rerank(**CALL)
        assert not isinstance(caught.value, CircuitOpenError)
    assert len(server.requests) == 6


def test_a_request_that_the_limit_did_not_send_is_no_failure_of_the_server(server, make_either, clock):
    """The circuit learns only from requests that were sent."""
    client = make_either(circuit_breaker=BREAKER, clock=clock, limit=RateLimit(per_minute=1), deadline=1)
    client.rerank(**CALL)
    for _ in range(6):
        with pytest.raises(Exception, match="own limit"):
            client.rerank(**CALL)


def test_rows_of_a_batch_wait_while_the_circuit_is_open(server, make_client, clock):
    """A batch does not turn all its rows into errors during an outage: only probes fail."""
    server.script(*[error(503, "down")] * 4)
    client = make_client(circuit_breaker=BREAKER, clock=clock, max_retries=0)
    rows = [{"query": f"q {number}", "documents": ["a"]} for number in range(20)]
    outcomes = [result for _, result in client.rerank_many(rows, model="m", concurrency=1)]
    assert sum(isinstance(result, ServiceUnavailableError) for result in outcomes) == 4
    assert sum(hasattr(result, "results") for result in outcomes) == 16
    assert sum(clock.sleeps) == pytest.approx(15)


def test_threads_send_one_probe(down, make_client, clock):
    """Eight at the same moment."""
    client = make_client(circuit_breaker=BREAKER, clock=clock, max_retries=0)
    for _ in range(3):
        with pytest.raises(ServiceUnavailableError):
            client.rerank(**CALL)
    clock.advance(5)
    barrier, kinds = threading.Barrier(8), []

    def call():
        barrier.wait(10)
        try:
            client.rerank(**CALL)
        except Exception as failure:
            kinds.append(type(failure).__name__)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(down.requests) == 4
    assert len(kinds) == 8


@pytest.mark.parametrize("value", [True, 5, "yes"])
def test_another_value_is_rejected(make_client, value):
    """The error says what to pass."""
    with pytest.raises(
        InvalidRequestError, match=r"circuit_breaker must be a CircuitBreaker, got .*CircuitBreaker\(\)"
    ):
        make_client(circuit_breaker=value)


def test_settings_can_be_pickled_and_compared():
    """They travel with a client to another process."""
    assert pickle.loads(pickle.dumps(BREAKER)) == BREAKER
    assert hash(BREAKER) == hash(CircuitBreaker(3, 5, 12))


def _child(queue):
    circuit = circuit_for(BREAKER, address="fork", clock=None)
    circuit.record_failure(0.0, "x")
    queue.put(circuit.try_acquire(0.0)[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_circuit_of_its_own():
    """Even if a thread of the parent holds the lock at the moment of the fork."""
    circuit = circuit_for(BREAKER, address="fork", clock=None)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with circuit._lock:
        child = context.Process(target=_child, args=(queue,))
        child.start()
    assert queue.get(timeout=20) == 0.0
    child.join(20)
