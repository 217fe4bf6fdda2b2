"""What a call will cost: an estimate that says so, by rules that can be checked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import ClientV2, errors
from cohere_rerank.cost import SearchUnitsEstimate, estimate_search_units

WORD = "word"  # a token


@pytest.mark.parametrize(("n_documents", "units"), [(0, 0), (1, 1), (100, 1), (101, 2), (1000, 10), (10_000, 100)])
def test_a_unit_is_a_query_with_up_to_100_documents(n_documents, units):
    """This holds for short documents."""
    estimate = estimate_search_units("q", ["short"] * n_documents)
    assert (estimate.search_units, estimate.lower_bound) == (units, units)
    assert (estimate.n_documents, estimate.n_chunks) == (n_documents, n_documents)
    assert estimate.n_requests == (n_documents > 0)


@pytest.mark.parametrize(
    ("n_query", "n_document", "n_chunks"),
    [(1, 499, 1), (1, 500, 2), (100, 400, 1), (100, 401, 2), (1, 4096, 9), (1, 10**5, 9), (999, 250, 1), (999, 251, 2)],
)
def test_long_documents_count_by_chunks_of_500_tokens_with_the_query(n_query, n_document, n_chunks):
    """Documents are first cut to 4,096 tokens, the API's default. A long query takes at most half of a chunk."""
    estimate = estimate_search_units(WORD * n_query, [WORD * n_document] * 100)
    assert estimate.n_chunks == 100 * n_chunks
    assert (estimate.search_units, estimate.lower_bound) == (n_chunks, 1)


def test_documents_are_cut_first():
    """Documents are cut to ``max_tokens_per_doc`` before their chunks are counted."""
    estimate = estimate_search_units(WORD, [WORD * 10_000], max_tokens_per_doc=10_000)
    assert (estimate.n_chunks, estimate.n_tokens) == (21, 10_001)
    assert estimate_search_units(WORD, [WORD * 10_000], max_tokens_per_doc=100).n_tokens == 101


def test_each_part_of_a_split_list_is_billed_for_itself():
    """Two requests of 75 documents cost two units, one request of 150 costs two, and three requests cost three."""
    units = {size: estimate_search_units("q", ["d"] * 150, max_documents_per_request=size) for size in (100, 150, 50)}
    assert [units[size].n_requests for size in (100, 150, 50)] == [2, 1, 3]
    assert [int(units[size]) for size in (100, 150, 50)] == [2, 2, 3]
    assert estimate_search_units("q", ["d"] * 20_000).n_requests == 2


def test_structured_documents_count_as_they_are_sent():
    """A structured document counts as YAML, with the fields that are sent."""
    document = {"title": "a" * 400, "body": "b" * 4000}
    whole = estimate_search_units("q", [document])
    assert 1100 <= whole.n_tokens <= 1120
    assert 100 <= estimate_search_units("q", [document], rank_fields=["title"]).n_tokens <= 110


def test_dense_scripts_take_more_tokens():
    """A Han, kana or Hangul character or an emoji counts as one token, like four letters of an alphabet."""
    tokens = [estimate_search_units("", [text]).n_tokens for text in ("漢字かな한글😀!", "abcdefg", "äöüß")]
    assert tokens == [8, 2, 1]


def test_it_reads_as_a_number_and_as_an_estimate():
    """The repr says that the number is an estimate and not a bill."""
    estimate = estimate_search_units("q", ["d"] * 101)
    assert (int(estimate), float(estimate)) == (2, 2.0)
    assert str(estimate) == "about 2 search units (an estimate), at least 2"


@given(st.text(), st.lists(st.text(min_size=1).filter(str.strip), max_size=5), st.integers(1, 5000), st.integers(1, 10))
def test_it_is_never_below_its_lower_bound(query, documents, most, size):
    """No text makes the estimate negative or smaller than its lower bound."""
    found = estimate_search_units(query, documents, max_tokens_per_doc=most, max_documents_per_request=size)
    assert found.search_units >= found.lower_bound >= found.n_requests >= 0
    assert found.n_chunks >= found.n_documents == len(documents)


def test_requests_are_as_many_as_the_client_sends(server, make_client):
    """A list that is split counts as the requests that the client sends for it."""
    documents = [f"document {n}" for n in range(23)]
    estimate = estimate_search_units("q", documents, max_documents_per_request=5)
    response = make_client(max_documents_per_request=5).rerank(model="m", query="q", documents=documents)
    assert estimate.n_requests == len(server.requests)
    assert estimate.search_units == response.meta.billed_units.search_units


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": None, "documents": ["d"]}, "query must be a string"),
        ({"query": "q", "documents": "text"}, "documents must be a list"),
        ({"query": "q", "documents": [""]}, "document at index 0 is empty"),
        ({"query": "q", "documents": ["d"], "max_tokens_per_doc": 0}, "max_tokens_per_doc must be"),
        ({"query": "q", "documents": ["d"], "max_documents_per_request": 10_001}, "between 1 and 10000"),
    ],
)
def test_what_rerank_rejects_has_no_cost(arguments, message):
    """The estimate raises the same error as the call, and nothing is sent in either case."""
    with pytest.raises(errors.InvalidRequestError, match=message):
        estimate_search_units(**arguments)


def test_the_local_engine_costs_nothing_whatever_the_estimate():
    """The estimate is for Cohere's API only."""
    response = ClientV2(base_url="local:").rerank(model="m", query="q", documents=["d"])
    assert response.meta is not None
    assert response.meta.billed_units is not None
    assert response.meta.billed_units.search_units == 0
    assert isinstance(estimate_search_units("q", ["d"]), SearchUnitsEstimate)
