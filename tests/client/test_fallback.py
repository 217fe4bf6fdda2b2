"""Who answers when the API cannot: when the fallback steps in, when it must not, and what its answer says."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from cohere_rerank import ClientV2, RetryPolicy, errors
from tests.adapters import resolve
from tests.fake_server import Server, drip, error, good_reply, hang, hang_up, html, redirect, refusing_url, reply, reset

CALL: dict[str, Any] = {"model": "rerank-v3.5", "query": "green tea", "documents": ["black coffee", "green tea, loose"]}
LOCAL = ClientV2(base_url="local:")


def ranking(response):
    return [item.index for item in response.results]


def by_length(query, documents):
    """A scorer whose scores can be told."""
    return [len(document) / 100 for document in documents]


def warnings_logged(caplog):
    return [r for r in caplog.records if r.name == "cohere_rerank" and r.levelno == logging.WARNING]


# When it steps in --------------------------------------------------------------------------------

OUTAGES = {
    "500": (lambda: error(500, "no"), 3, "500"),
    "501": (lambda: error(501, "no"), 1, "501"),
    "502": (lambda: html(502), 3, "502"),
    "503": (lambda: error(503, "no"), 3, "503"),
    "504": (lambda: reply(504), 3, "504"),
    "529": (lambda: reply(529), 3, "529"),
    "408": (lambda: error(408, "no"), 3, "408"),
    "429": (lambda: error(429, "slow down"), 3, "slow down"),
    "429 beyond the deadline": (lambda: error(429, "slow", headers={"retry-after": "9999"}), 1, "9999 s"),
    "monthly quota": (lambda: error(429, "limited to 1000 API calls / month"), 1, "month"),
    "hang up": (hang_up, 3, "closed the connection early"),
    "reset": (lambda: reset("body"), 3, "connection to"),
    "timeout": (hang, 3, "No response from"),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_is_answered(server, clock, make_either, outage):
    """After the usual repeats; the answer says that it is a fallback's, and why."""
    fault, attempts, reason = OUTAGES[outage]
    server.default = fault()
    timeout = 0.5 if outage == "timeout" else 20  # half a second: time for a busy machine to send
    response = make_either(clock=clock, timeout=timeout, fallback="local").rerank(**CALL)
    assert response.is_fallback
    assert ranking(response) == [1, 0]
    assert len(server.requests) == attempts
    why, who = response.meta.warnings[:2]
    assert "fallback" in why
    assert reason in why
    assert "local-lexical" in who


def test_no_connection_is_an_outage(clock, make_either):
    """Nobody listens."""
    with refusing_url() as url:
        response = make_either(base_url=url, clock=clock, fallback="local").rerank(**CALL)
    assert response.is_fallback
    assert "Cannot connect to" in response.meta.warnings[0]
    assert "3 attempts" in response.meta.warnings[0]


def test_a_passed_deadline_is_an_outage(server, make_either):
    """The fallback answers after it, in its own time."""
    server.default = drip("body")
    response = make_either(fallback="local", deadline=0.1).rerank(**CALL)
    assert response.is_fallback
    assert "0.1 s" in response.meta.warnings[0]


def test_an_api_that_answers_is_not_replaced(server, clock, make_either):
    """Not even after a repeat."""
    server.script(error(503, "once"))
    response = make_either(clock=clock, fallback="local").rerank(**CALL)
    assert not response.is_fallback
    assert response.meta.warnings is None


def test_there_is_none_unless_asked_for(server, clock, make_either):
    """An error is an error."""
    server.default = error(503, "no")
    with pytest.raises(errors.ServiceUnavailableError):
        make_either(clock=clock).rerank(**CALL)


# When it must not --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 418, 422, 498])
def test_an_error_of_the_callers_making_is_raised(server, clock, make_either, status):
    """A wrong key or a bad field would otherwise go unnoticed for weeks."""
    server.default = error(status, "no")
    with pytest.raises(errors.ApiError) as caught:
        make_either(clock=clock, fallback="local").rerank(**CALL)
    assert caught.value.status_code == status


def test_a_wrong_address_is_raised(server, clock, make_either):
    """A redirect and a certificate that is not trusted are mistakes of the setup, which a fallback would hide."""
    server.default = redirect(302, "/elsewhere")
    with pytest.raises(errors.RedirectError):
        make_either(clock=clock, fallback="local").rerank(**CALL)
    with Server(tls="self-signed") as secure, pytest.raises(errors.CertificateError):
        make_either(base_url=secure.url, clock=clock, fallback="local").rerank(**CALL)


def test_bad_input_is_raised(server, make_either):
    """Also while the API is down."""
    server.default = error(503, "no")
    with pytest.raises(errors.InvalidRequestError):
        make_either(fallback="local").rerank(**CALL, top_n=0)


def test_a_closed_client_is_closed(make_either):
    """The fallback is no way around it."""
    adapter = make_either(fallback="local")
    resolve(adapter, adapter.client.close())
    with pytest.raises(errors.ClientClosedError):
        adapter.rerank(**CALL)


def test_what_a_key_function_raises_is_raised(server, make_either):
    """It is the caller's."""

    def fetch():
        raise KeyError("vault")

    with pytest.raises(KeyError):
        make_either(fetch, fallback="local").rerank(**CALL)


# What it answers ---------------------------------------------------------------------------------


@pytest.fixture
def down(server, clock):
    """The server, answering nothing but 503."""
    server.default = error(503, "down for maintenance")
    return server


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"top_n": 1},
        {"min_score": 0.5},
        {"relevant_spans": {"mode": "enabled", "max_spans": 1}},
        {"max_tokens_per_doc": 1},
        {"documents": [{"title": "coffee"}, {"title": "green tea"}], "rank_fields": ["title"]},
        {"priority": 5},
    ],
    ids=str,
)
def test_local_answers_as_a_local_address_does(down, clock, make_either, change):
    """Same ranking, scores, spans and documents, for every argument."""
    call = {**CALL, **change}
    response = make_either(clock=clock, fallback="local").rerank(**call)
    expected = LOCAL.rerank(**call)
    assert response.results == expected.results
    assert response.scores == expected.scores
    assert [item.document for item in response.results] == [item.document for item in expected.results]
    assert [item.span_texts for item in response.results] == [item.span_texts for item in expected.results]
    assert response.meta.warnings[1:] == expected.meta.warnings
    assert response.meta.billed_units.search_units == 0


def test_a_function_may_answer(down, clock, make_either):
    """It gets the query and the texts as they were sent, and gives a score for each."""
    seen = []

    def scorer(query, documents):
        seen.append((query, list(documents)))
        return [0.25, 0.75]

    call = {**CALL, "documents": ["text", {"title": "record"}]}
    response = make_either(clock=clock, fallback=scorer).rerank(**call)
    assert response.scores == [0.25, 0.75]
    assert response.results[0].document == {"title": "record"}
    assert seen == [("green tea", ["text", "title: record\n"])]
    assert "scorer" in response.meta.warnings[1]


def test_a_scorer_may_answer(down, clock, make_either):
    """An object with a name, which the answer gives."""

    class Constant:
        name, version, pointwise = "constant", "7", True

        def score(self, query, documents):
            return [0.5] * len(documents)

    response = make_either(clock=clock, fallback=Constant()).rerank(**CALL)
    assert response.scores == [0.5, 0.5]
    assert "constant 7" in response.meta.warnings[1]


@pytest.mark.parametrize("result", [[0.5], [0.5, 2.0], [0.5, float("nan")], None, "ab"], ids=str)
def test_a_fallback_that_gives_no_scores_is_an_error(down, clock, make_either, result):
    """Never half a ranking; the text says what the API answered, too."""
    with pytest.raises(errors.ScorerError, match=r"503: down for maintenance.*fallback failed"):
        make_either(clock=clock, fallback=lambda query, documents: result).rerank(**CALL)


def test_a_fallback_that_fails_is_an_error(down, clock, make_either):
    """Which names both: what the fallback raised, and what the API answered."""

    def broken(query, documents):
        raise LookupError("no model file")

    with pytest.raises(errors.ScorerError, match=r"503: down.*LookupError: no model file") as caught:
        make_either(clock=clock, fallback=broken).rerank(**CALL)
    assert isinstance(caught.value.__cause__.__cause__, LookupError)


def test_a_request_that_the_fallback_refuses_is_an_error(down, clock, make_either):
    """What a newer API may take, the local engine may not."""
    spans = {"mode": "newest"}
    with pytest.raises(errors.ScorerError, match=r"503: down.*rejected.*relevant_spans"):
        make_either(clock=clock, fallback="local").rerank(**CALL, relevant_spans=spans)


def test_a_split_call_is_answered_whole(server, clock, make_either):
    """One share that fails is enough: the fallback sees the whole list, so all scores are of one kind."""
    seen = []

    def scorer(query, documents):
        seen.append(len(documents))
        return [0.5] * len(documents)

    server.script(*[error(503, "no")] * 3)
    server.default = hang_up()
    client = make_either(clock=clock, fallback=scorer, max_documents_per_request=1)
    response = client.rerank(**CALL)
    assert response.is_fallback
    assert response.scores == [0.5, 0.5]
    assert seen == [2]


def test_long_lists_are_answered(down, clock, make_either):
    """Longer than the API takes at once, too."""
    documents = [str(i) for i in range(10_001)]
    response = make_either(clock=clock, fallback=lambda query, texts: [0.5] * len(texts)).rerank(
        **{**CALL, "documents": documents}
    )
    assert len(response.results) == 10_001


def test_fields_that_only_the_api_knows_do_not_stop_it(down, clock, make_either):
    """Additional body parameters are the API's business."""
    options = {"additional_body_parameters": {"beta": 1}}
    assert make_either(clock=clock, fallback="local").rerank(**CALL, request_options=options).is_fallback


@pytest.mark.filterwarnings("ignore:a lone surrogate:UnicodeWarning")
def test_a_lone_surrogate_does_not_stop_it(down, clock, make_either):
    """It is scored as it was sent, as U+FFFD."""
    response = make_either(clock=clock, fallback="local").rerank(**{**CALL, "documents": ["a \ud800", "green tea"]})
    assert ranking(response) == [1, 0]


def test_the_raw_response_has_no_transport_side(down, clock, make_either):
    """There is no reply to show."""
    raw = make_either(clock=clock, fallback="local").raw_rerank(**CALL)
    assert raw.data.is_fallback
    assert (raw.status_code, raw.headers, raw.response) == (None, {}, None)


def test_it_can_be_set_for_a_copy(down, clock, make_either):
    """with_options, with its own retries."""
    adapter = make_either(clock=clock)
    twin = adapter.client.with_options(fallback="local", max_retries=0)
    assert resolve(adapter, twin.rerank(**CALL)).is_fallback
    assert len(down.requests) == 1


def test_it_leaves_the_event_loop_free(down, clock, make_async_client):
    """A slow scorer runs in a thread: here it waits for something that only the loop can do."""

    async def main():
        done = threading.Event()

        def slow(query, documents):
            assert done.wait(10)
            return [0.5] * len(documents)

        async with make_async_client(clock=clock, fallback=slow) as client:
            call = asyncio.ensure_future(client.rerank(**CALL))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(done.set)
            return await call

    assert asyncio.run(main()).is_fallback


# What is logged ----------------------------------------------------------------------------------


def test_an_outage_is_logged_once(server, clock, make_either, caplog):
    """A warning when it begins, one more when the next begins; not one a call, and without the server's words."""
    adapter = make_either(clock=clock, fallback=by_length)
    twin = adapter.client.with_options(max_retries=0)
    for n_outages in (1, 2):
        server.default = error(503, "down for maintenance")
        for _ in range(3):
            adapter.rerank(**CALL)
            resolve(adapter, twin.rerank(**CALL))
        assert len(warnings_logged(caplog)) == n_outages
        server.default = good_reply()
        assert not adapter.rerank(**CALL).is_fallback
    assert "ServiceUnavailableError, status 503" in warnings_logged(caplog)[0].getMessage()
    assert "maintenance" not in caplog.text


def test_an_outage_in_many_threads_is_logged_once(down, make_client, caplog):
    """Calls that fail together are one outage."""
    from concurrent.futures import ThreadPoolExecutor

    client = make_client(fallback=by_length, retry_policy=RetryPolicy(max_retries=0))
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: client.rerank(**CALL), range(32)))
    assert all(response.is_fallback for response in responses)
    assert len(warnings_logged(caplog)) == 1
