"""What calls cost in USD: by the prices of the client, and unknown where a price or a bill is."""

from __future__ import annotations

import json
import pickle

import pytest

from cohere_rerank import ClientV2, Price, ScoreCache, estimate_search_units
from cohere_rerank.cost import PRICES
from cohere_rerank.errors import InvalidRequestError
from tests.fake_server import reply

CALL = {"model": "m", "query": "q", "documents": ["a", "b"]}
PER_UNIT = {"m": Price(per_search_unit=0.002)}
RESULTS = [{"index": index, "relevance_score": 0.5} for index in range(2)]


def billing(**units):
    """A reply that bills these units."""
    return reply(json={"results": RESULTS, "meta": {"billed_units": units}})


def test_a_response_costs_its_billed_units_at_the_price_of_its_model(server, make_either):
    """By search unit or by token, as the price says."""
    server.script(billing(search_units=3), billing(input_tokens=500_000), billing(search_units=2, input_tokens=10**6))
    prices = {**PER_UNIT, "t": {"per_million_tokens": 0.05}, "both": Price(per_search_unit=1, per_million_tokens=0.5)}
    client = make_either(prices=prices)
    costs = [client.rerank(**{**CALL, "model": model}).cost for model in ("m", "t", "both")]
    assert costs == pytest.approx([0.006, 0.025, 2.5])
    assert client.client.usage.cost == pytest.approx(2.531)


@pytest.mark.parametrize("meta", [{}, {"meta": {}}, {"meta": {"billed_units": {"input_tokens": 5}}}])
def test_a_bill_without_the_unit_of_the_price_has_no_known_cost(server, make_either, meta):
    """The cost is None and never a guess."""
    server.script(reply(json={"results": RESULTS, **meta}))
    client = make_either(prices=PER_UNIT)
    assert client.rerank(**CALL).cost is None
    assert client.client.usage.cost is None


def test_the_built_in_prices_hold_at_the_addresses_of_cohere_only(make_client, server):
    """Another server may ask any price for a model of the same name."""
    call = {**CALL, "model": "rerank-v3.5"}
    assert make_client().rerank(**call).cost is None
    assert make_client(prices=PER_UNIT).rerank(**call).cost is None
    assert make_client(prices={"rerank-v3.5": Price(per_search_unit=0.1)}).rerank(**call).cost == 0.1


def test_every_built_in_price_has_a_date_and_says_that_it_is_second_hand():
    """Nobody may take it for a price list of Cohere."""
    assert PRICES["rerank-v5.0-pro"].cost({"input_tokens": 1e6}) == 0.05
    assert PRICES["rerank-v5.0-fast"].cost({"input_tokens": 1e6}) == 0.02
    assert PRICES["rerank-v3.5"].cost({"search_units": 1000}) == 2.0
    assert all(price.as_of and "second-hand" in (price.source or "") for price in PRICES.values())
    with pytest.raises(TypeError):
        PRICES["m"] = Price(per_search_unit=1)  # type: ignore[index]


def test_a_price_of_the_caller_has_priority_and_other_models_keep_theirs():
    """The estimate of a call uses the same rules."""
    estimate = estimate_search_units("q", ["a"] * 150)
    assert estimate.cost("rerank-v3.5") == 0.004
    assert estimate.cost("rerank-v3.5", {"rerank-v3.5": {"per_search_unit": 1}}) == 2.0
    assert estimate.cost("rerank-v3.5", {"other": {"per_search_unit": 1}}) == 0.004
    assert estimate.cost("unknown") is None
    assert estimate.cost("rerank-v5.0-fast") == pytest.approx(300 * 0.02 / 1e6)


def test_what_sends_nothing_costs_nothing(server, make_either):
    """The local engine, no documents, a cached response, and a fallback inside the process."""
    assert ClientV2(base_url="local:").rerank(**CALL).cost == 0.0
    client = make_either(prices=PER_UNIT, cache=ScoreCache())
    assert client.rerank(**{**CALL, "documents": []}).cost == 0.0
    assert [client.rerank(**CALL).cost for _ in range(2)] == [0.002, 0.0]
    for fallback in ("local", "keep-order", lambda _query, documents: [0.5] * len(documents)):
        server.script(reply(503))
        answer = make_either(prices=PER_UNIT, fallback=fallback, max_retries=0).rerank(**CALL)
        assert (answer.is_fallback, answer.cost) == (True, 0.0)


def test_a_fallback_to_another_client_costs_what_that_client_pays(server, make_client):
    """Its prices count, and its usage has the bill."""
    other = make_client(prices={"m": Price(per_search_unit=7)})
    server.script(reply(503))
    client = make_client(prices=PER_UNIT, fallback=other, max_retries=0)
    assert client.rerank(**CALL).cost == 7.0
    assert (client.usage.cost, other.usage.cost) == (None, 7.0)


def test_usage_has_the_money_of_each_tag_and_the_units_without_a_price(make_client):
    """A sum with unknown parts says which units are missing in it."""
    client = make_client(prices=PER_UNIT)
    for tag, n_calls in (("shop", 3), ("blog", 1)):
        for _ in range(n_calls):
            client.with_options(tag=tag).rerank(**CALL)
    client.with_options(tag="blog").rerank(**{**CALL, "model": "unknown"})
    usage = client.usage
    assert usage.cost == pytest.approx(0.008)
    assert {tag: round(part.cost, 9) for tag, part in usage.by_tag.items()} == {"shop": 0.006, "blog": 0.002}
    assert usage.by_tag["blog"].unpriced_units == {"search_units": 1.0}
    assert "unpriced_units={'search_units': 1.0}" in repr(usage)


def test_copies_with_other_prices_count_with_their_own(make_client):
    """The bill is priced as the client that got it says."""
    client = make_client(prices=PER_UNIT)
    client.rerank(**CALL)
    client.with_options(prices={"m": Price(per_search_unit=1)}).rerank(**CALL)
    assert client.usage.cost == pytest.approx(1.002)


def test_copies_do_not_let_the_counts_grow(make_client):
    """A program may make a copy for each call, with a tag or a deadline."""
    client = make_client(prices=PER_UNIT)
    for _ in range(5):
        client.with_options(deadline=9).rerank(**CALL)
    assert len([name for _, name in client._state.usage.totals() if not isinstance(name, str)]) == 1


def test_a_response_keeps_its_cost_in_a_pickle_and_when_it_is_filtered(make_client):
    """The prices of the client travel with it."""
    response = make_client(prices=PER_UNIT).rerank(**CALL)
    assert pickle.loads(pickle.dumps(response)).cost == response.filter(min_score=2).cost == 0.002


def test_prices_can_be_read_from_json(make_client):
    """A file has the arguments of Price by model."""
    prices = json.loads('{"m": {"per_search_unit": 0.002, "as_of": "2026-11-01", "source": "our contract"}}')
    assert make_client(prices=prices).rerank(**CALL).cost == 0.002


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (5, "prices must be a mapping"),
        ({3: {"per_search_unit": 1}}, "names of models"),
        ({"m": 0.002}, "a Price for 'm'"),
        ({"m": {"per_unit": 1}}, "no field per_unit"),
        ({"m": {}}, "needs per_search_unit"),
        ({"m": {"per_search_unit": -1}}, "at least 0"),
        ({"m": {"per_million_tokens": float("inf")}}, "finite"),
        ({"m": {"per_search_unit": "1"}}, "must be a number"),
        ({"m": {"per_search_unit": 1, "as_of": 2026}}, "as_of"),
    ],
)
def test_prices_that_are_not_valid_are_refused(prices, message):
    """By the constructor, which names what is allowed."""
    with pytest.raises(InvalidRequestError, match=message):
        ClientV2("k", prices=prices)
