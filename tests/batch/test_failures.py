"""A row that fails is an error in its place; a failure that would affect every further row stops the batch."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank.batch.rules import AsCompleted, OrderedBuffer
from tests.batch.helpers import CANCELS_UPLOADS, Driver, is_right, row, rows, until
from tests.fake_server import error

QUOTA = "You have reached your monthly limit of calls."


def test_a_bad_row_is_an_error_in_its_place(server, driver):
    """The error says what is wrong, nothing is sent, and the other rows are answered."""
    bad = [17, "text", None, {"query": "q"}, row(4, foo=1, **{"x" * 500: 2}), row(5, top_n=0), row(6, documents=[""])]
    outcomes = driver.run([*bad, row(7)], concurrency=3)
    assert driver.ids == [0, 1, 2, 3, "row 4", "row 5", "row 6", "row 7"]
    assert all(type(result) is errors.InvalidRequestError for _, result in outcomes[:-1])
    assert is_right(7, outcomes[-1][1])
    assert len(server.requests) == 1
    assert "no documents" in str(outcomes[3][1])
    assert "'foo'" in str(outcomes[4][1])
    assert len(str(outcomes[4][1])) < 400


def test_a_failed_call_is_an_error_in_its_place(server, driver):
    """It has the type that rerank would have raised, and no frames that keep the documents alive."""
    server.script(error(404, "model 'x' not found"), error(503, "down"))
    outcomes = driver.run(rows(4), client={"max_retries": 0}, concurrency=1)
    kinds = [type(result).__name__ for _, result in outcomes]
    assert kinds == ["NotFoundError", "ServiceUnavailableError", "V2RerankResponse", "V2RerankResponse"]
    assert outcomes[0][1].__traceback__ is None


@CANCELS_UPLOADS
def test_raise_ends_with_the_first_error_in_order(server, driver, no_threads_left):
    """Earlier outcomes are yielded first, the error contains the row's id, and sending stops."""
    server.script(*[server.default] * 3, error(404, "model 'x' not found"))
    with pytest.raises(errors.NotFoundError, match=r"request 'row 3': .*not found"):
        driver.run((row(number) for number in count()), concurrency=1, on_error="raise")
    assert driver.ids == ["row 0", "row 1", "row 2"]
    assert len(server.requests) == 4


@CANCELS_UPLOADS
def test_raise_does_not_wait_for_requests_in_flight(server, driver, no_threads_left):
    """With ordered=False the error comes while another row hangs."""
    with server.hold_replies():
        with pytest.raises(errors.InvalidRequestError):
            driver.run([row(0), row(1, top_n=0)], concurrency=2, ordered=False, on_error="raise")
    assert driver.outcomes == []


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "invalid api token", errors.UnauthorizedError),
        (402, "Please add or update your payment method", errors.PaymentRequiredError),
        (429, QUOTA, errors.QuotaExceededError),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_a_failure_that_would_affect_every_further_row_stops_the_batch(server, driver, status, message, kind, ordered):
    """Even with on_error="return". The failed row is not yielded, so that it can be sent again."""
    good = server.default

    async def after_two_rows(exchange):
        await (good if exchange.request.json["query"] < "query 2" else error(status, message))(exchange)

    server.default = after_two_rows
    with pytest.raises(kind):
        driver.run((row(number) for number in count()), concurrency=2, ordered=ordered)
    assert sorted(driver.ids) == ["row 0", "row 1"]
    assert len(server.requests) <= 4


def test_requests_in_flight_are_yielded_before_such_a_failure(server, driver):
    """No answer that was paid for is lost, not even one behind the row that failed."""
    good = server.default

    async def the_first_fails_first(exchange):
        if exchange.request.json["query"] == "query 0":
            await until(lambda: len(server.requests) == 2)
            await error(401, "invalid api token")(exchange)
            return
        await until(lambda: len(server.requests) == 2 and server.n_in_flight == 1)
        await good(exchange)

    server.default = the_first_fails_first
    with pytest.raises(errors.UnauthorizedError):
        driver.run(rows(2), concurrency=2)
    assert driver.ids == ["row 1"]


def test_a_source_that_fails_fails_after_its_rows(server, driver):
    """All rows before it are answered first, and the exception is the source's own."""

    def source():
        yield from rows(5)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        driver.run(source(), concurrency=3)
    assert driver.ids == [f"row {number}" for number in range(5)]


def test_an_exception_of_the_program_stops_the_batch(driver):
    """Here an iterable of documents raises: the exception is not turned into an outcome of the row."""

    def documents():
        yield "one"
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        driver.run([row(0), row(1, documents=documents())], concurrency=1)
    assert driver.ids == ["row 0"]


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
@settings(max_examples=15, deadline=None)
@given(
    fates=st.lists(st.sampled_from(["good", "bad", "failing", "empty"]), max_size=25),
    concurrency=st.integers(1, 6),
    ordered=st.booleans(),
)
def test_each_row_is_yielded_exactly_once_whatever_happens_to_it(kind, fates, concurrency, ordered):
    """In order if ordered=True, and with the right kind of outcome."""

    def scorer(query, documents):
        if query == "failing":
            raise RuntimeError("no")
        return [0.5] * len(documents)

    requests = [
        {"query": " " if fate == "bad" else fate, "documents": [] if fate == "empty" else ["d"]} for fate in fates
    ]
    driver = Driver(kind, "local:")
    outcomes = driver.run(iter(requests), client={"scorer": scorer}, concurrency=concurrency, ordered=ordered)
    assert (driver.ids if ordered else sorted(driver.ids)) == list(range(len(fates)))
    kinds = {"good": "V2RerankResponse", "empty": "V2RerankResponse", "bad": "InvalidRequestError"}
    assert all(type(result).__name__ == kinds.get(fates[row_id], "ScorerError") for row_id, result in outcomes)


@given(st.permutations(range(8)), st.integers(0, 7))
def test_order_is_kept_also_around_a_gap(positions, missing):
    """An outcome that is due is yielded at once; a row without an outcome holds back the others until the end."""
    buffer, yielded = OrderedBuffer(), []
    for position in positions:
        if position != missing:
            yielded += [row_id for row_id, _ in buffer.add(position, (position, None))]
            assert yielded == list(range(len(yielded)))
    assert yielded + [row_id for row_id, _ in buffer.flush()] == [n for n in range(8) if n != missing]
    assert [*AsCompleted().add(3, ("x", None)), *AsCompleted().flush()] == [("x", None)]
