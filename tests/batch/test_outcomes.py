"""Each row is given back once, with its id and its answer, in order or as it is done."""

from __future__ import annotations

from tests.batch.driving import is_right, row, rows, until


def test_rows_come_back_in_their_order_each_with_its_id_and_its_answer(driver, no_threads_left):
    """As many calls of rerank would have given."""
    given = driver.run(rows(20), concurrency=4)
    assert driver.ids == [f"row {number}" for number in range(20)]
    assert all(is_right(number, response) for number, (_, response) in enumerate(given))


def test_an_early_answer_waits_for_its_turn_or_not(server, driver):
    """The first row is answered only when the server has seen the fourth."""
    good = server.default

    async def first_row_late(exchange):
        if exchange.request.json["query"] == "query 0":
            await until(lambda: len(server.requests) >= 4)
        await good(exchange)

    server.default = first_row_late
    driver.run(rows(6), concurrency=2, ordered=False)
    assert driver.ids[:2] == ["row 1", "row 2"]
    assert sorted(driver.ids) == [f"row {number}" for number in range(6)]
    server.requests.clear()
    driver.given.clear()
    driver.run(rows(6), concurrency=2)
    assert driver.ids == [f"row {number}" for number in range(6)]


def test_a_row_without_an_id_has_its_position(driver):
    """Counted from 0 over all rows; any value may be an id, and nobody compares them."""
    requests = [row(0, id=None), row(1, id=("a", 1)), {k: v for k, v in row(2).items() if k != "id"}, row(3, id=0)]
    assert [row_id for row_id, _ in driver.run(requests)] == [0, ("a", 1), 2, 0]


def test_common_arguments_are_every_rows_unless_it_has_its_own(server, driver):
    """None in a row means "not given", as everywhere."""
    requests = [row(0), row(1, top_n=1, model="rerank-v4.0-pro"), row(2, top_n=None)]
    driver.run(requests, top_n=2, priority=7, concurrency=1)
    sent = [request.json for request in server.requests]
    assert [body["top_n"] for body in sent] == [2, 1, 2]
    assert [body["model"] for body in sent] == ["rerank-v3.5", "rerank-v4.0-pro", "rerank-v3.5"]
    assert {body["priority"] for body in sent} == {7}


def test_rows_of_the_caller_are_not_changed(driver):
    """Nor is what is common to them."""
    requests = rows(2)
    driver.run(requests, request_options={"max_retries": 0})
    assert requests == rows(2)


def test_no_rows_and_no_documents(server, driver):
    """Nothing to do is done at once."""
    assert driver.run([]) == []
    [(row_id, response)] = driver.run([row(0, documents=[])])
    assert (row_id, response.results, server.requests) == ("row 0", [], [])
