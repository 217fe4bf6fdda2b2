"""The rerank API as a pure function: bytes in; status, headers and bytes out."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank.local.endpoint import UNLIMITED, Limits, handle
from cohere_rerank.local.registry import as_scorer, get_scorer, scorer_resolver

ASKED: dict[str, Any] = {"model": "m", "query": "green tea", "documents": ["black coffee", "green tea", "tea"]}


def lexical(model):
    return get_scorer("lexical")


def scored(*scores):
    """Return a function that resolves to a scorer with these scores."""
    return lambda model: as_scorer(lambda query, documents: list(scores))


def post(asked, scorer_for=lexical, **options):
    """Return the status and the JSON value of a response."""
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    status, headers, content = handle(body, scorer_for, **options)
    assert headers == {"content-type": "application/json"}
    return status, json.loads(content)


# Refusals ----------------------------------------------------------------------------------------

# What Cohere's reference documents, word for word.
DOCUMENTED = {
    "no documents": ({"documents": []}, 400, "invalid request: list of documents must not be empty"),
    "empty document": ({"documents": ["a", ""]}, 400, "invalid request: document at index 1 cannot be empty"),
    "empty query": ({"query": ""}, 400, "invalid request: query must not be empty or be only whitespace"),
    "blank query": ({"query": " \n"}, 400, "invalid request: query must not be empty or be only whitespace"),
    "no model": ({"model": ...}, 400, "a model parameter is required for this endpoint."),
    "unknown field": ({"top_k": 3}, 422, "unknown field: parameter 'top_k' is not a valid field"),
    "v1 field": ({"return_documents": True}, 422, "unknown field: parameter 'return_documents' is not a valid field"),
}


def changed(change):
    """Return the request with changed fields. A field with the value ``...`` is removed."""
    return {name: value for name, value in {**ASKED, **change}.items() if value is not ...}


@pytest.mark.parametrize("case", DOCUMENTED)
def test_errors_have_the_messages_of_the_api(case):
    """Status and message are those of the API's reference, so programs that check them work here."""
    change, status, message = DOCUMENTED[case]
    assert post(changed(change)) == (status, {"id": post(changed(change))[1]["id"], "message": message})


REFUSED = [
    {"documents": ...},
    {"documents": None},
    {"documents": "text"},
    {"documents": {"text": "a"}},
    {"documents": ["a", {"text": "b"}]},
    {"documents": ["a", None]},
    {"documents": ["a", 5]},
    {"query": ...},
    {"query": None},
    {"query": ["green tea"]},
    {"model": None},
    {"model": ""},
    {"model": 5},
    {"top_n": 0},
    {"top_n": -1},
    {"top_n": None},
    {"top_n": "3"},
    {"top_n": 1.5},
    {"top_n": True},
    {"max_tokens_per_doc": 0},
    {"max_tokens_per_doc": 1_000_001},
    {"max_tokens_per_doc": 10**9},
    {"max_tokens_per_doc": None},
    {"priority": -1},
    {"priority": 1000},
    {"priority": None},
    {"relevant_spans": None},
    {"relevant_spans": "enabled"},
    {"relevant_spans": {}},
    {"relevant_spans": {"mode": "on"}},
    {"relevant_spans": {"mode": None}},
    {"rank_fields": ["text"]},
    {"documents": ["x"] * 10_001},
]


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: str(change)[:40])
def test_requests_that_the_api_rejects_are_rejected(change):
    """The message names the field."""
    status, reply = post(changed(change))
    assert status in (400, 422)
    assert next(iter(change)).removesuffix("s") in reply["message"]


@pytest.mark.parametrize(
    "spans",
    [
        {"mode": "enabled", "threshold": "high"},
        {"mode": "enabled", "threshold": True},
        {"mode": "enabled", "max_spans": 0},
        {"mode": "enabled", "max_spans": 1.5},
    ],
)
def test_invalid_span_options_are_rejected(spans):
    """The message names the option."""
    status, reply = post({**ASKED, "relevant_spans": spans})
    assert status in (400, 422)
    assert list(spans)[1] in reply["message"]


@pytest.mark.timeout(20)
def test_a_document_of_combining_marks_is_ranked():
    """A document of 160,000 combining marks gets a normal response."""
    document = "a" + "\u0315\u0300\u05ae\u0300" * 40_000
    status, reply = post(changed({"documents": [document], "max_tokens_per_doc": 1_000_000}))
    assert (status, len(reply["results"])) == (200, 1)


def test_the_number_of_fields_is_bounded():
    """A request with more than 100 fields is rejected, with known or unknown names."""
    status, reply = post(changed({f"field{number}": 0 for number in range(40_000)}))
    assert status == 400
    assert "at most 100 fields, got 4000" in reply["message"]


def test_a_long_name_is_cut_in_the_message():
    """The name of an unknown field is shown, but not a megabyte of it."""
    status, reply = post(changed({"z" * 10**6: 0}))
    assert status == 422
    assert len(reply["message"]) < 200


BROKEN = [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b"[" * 100_000, b'{"a": NaN}', b'{"a": "\\ud800"}', b"{} {}"]


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: str(body[:20]))
def test_an_invalid_body_is_a_400(body):
    """A body that is not a JSON object is never an exception."""
    status, reply = post(body)
    assert status == 400
    assert "invalid json syntax" in reply["message"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**6) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from([*ASKED, "top_n", "priority", "relevant_spans", "x"]), VALUES))
def test_any_request_gets_a_response(change):
    """The status is 200, or an error with a message."""
    status, reply = post(json.dumps({**ASKED, **change}).encode())
    assert (status == 200 and "results" in reply) or (status in (400, 422) and reply["message"])


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=50))
def test_any_bytes_get_a_response(body):
    """Bytes that are not JSON get an error with a message."""
    assert post(body)[0] == 400


def test_the_limit_of_the_api_is_a_setting():
    """The limit of documents can be changed, or removed as for a client on a local: address."""
    asked = {**ASKED, "documents": ["a"] * 10_001}
    scorer_for = scored(*[0.5] * 10_001)
    assert "10000" in post(asked, scorer_for)[1]["message"]
    assert post(asked, scorer_for, limits=UNLIMITED)[0] == 200
    assert post(ASKED, limits=Limits(max_documents=2))[0] == 400


# Answers -----------------------------------------------------------------------------------------


def test_the_same_request_gets_the_same_bytes():
    """The id is a UUID that depends on the request only."""
    body, other = json.dumps(ASKED).encode(), json.dumps({**ASKED, "top_n": 1}).encode()
    assert handle(body, lexical) == handle(body, lexical)
    name = post(body)[1]["id"]
    assert uuid.UUID(name).version == 4
    assert str(uuid.UUID(name)) == name != post(other)[1]["id"]


def test_results_are_sorted_and_ties_go_by_index():
    """A result has an index and a score, and no document, as in the API."""
    reply = post(ASKED, scored(0.5, 0.75, 0.5))[1]
    assert reply["results"] == [
        {"index": 1, "relevance_score": 0.75},
        {"index": 0, "relevance_score": 0.5},
        {"index": 2, "relevance_score": 0.5},
    ]


@pytest.mark.parametrize("top_n", [1, 2, 3, 4, 10**12])
def test_top_n_is_the_head_of_the_whole(top_n):
    """A top_n beyond the number of documents returns all of them."""
    assert post({**ASKED, "top_n": top_n})[1]["results"] == post(ASKED)[1]["results"][:top_n]


def test_meta_names_the_scorer_and_bills_nothing():
    """A warning names the scorer and its version, and says that the scores are not Cohere's."""
    meta = post(ASKED)[1]["meta"]
    scorer = get_scorer("lexical")
    assert scorer.name in meta["warnings"][0]
    assert scorer.version in meta["warnings"][0]
    assert "not by a Cohere model" in meta["warnings"][0]
    assert meta["billed_units"] == {"search_units": 0}
    assert meta["api_version"] == {"version": "2"}


def test_long_documents_are_cut_before_they_are_scored():
    """The cut is at ``max_tokens_per_doc``, 4096 by default, as in the API. A warning counts the cut documents."""
    seen: list[list[int]] = []

    def lengths(query, documents):
        seen.append([len(document) for document in documents])
        return [0.5] * len(documents)

    asked = {**ASKED, "documents": ["word " * 10, "word " * 10_000]}

    def scorer_for(model):
        return as_scorer(lengths)

    whole = post(asked, scorer_for)[1]["meta"]["warnings"]
    cut = post({**asked, "max_tokens_per_doc": 2}, scorer_for)[1]["meta"]["warnings"]
    assert seen[0][0] == 50
    assert seen[0][1] < 50_000
    assert max(seen[1]) < 50
    assert "1 document" in whole[1]
    assert "2 documents" in cut[1]
    assert len(post(ASKED)[1]["meta"]["warnings"]) == 1


def test_spans_lie_within_their_documents():
    """Spans are half-open ranges of code points, best first. ``max_spans`` and the threshold limit them."""
    documents = ["🦜 Parrots talk. Green tea is green. 茶は緑です。", "green tea", "nothing"]
    spans = {"mode": "enabled", "threshold": 0.05, "max_spans": 1}
    results = post({**ASKED, "documents": documents, "relevant_spans": spans})[1]["results"]
    found = {result["index"]: result.get("relevant_spans") for result in results}
    assert len(found[0]) == len(found[1]) == 1
    start, end = found[0][0]["start"], found[0][0]["end"]
    assert documents[0][start:end] == "Green tea is green."
    assert 0.05 < found[0][0]["score"] <= 1
    everything = {"mode": "enabled", "threshold": 0}
    for result in post({**ASKED, "documents": documents, "relevant_spans": everything})[1]["results"]:
        scores = [span["score"] for span in result.get("relevant_spans", [])]
        assert scores == sorted(scores, reverse=True)
    none = {"mode": "enabled", "threshold": 1}
    assert all("relevant_spans" not in r for r in post({**ASKED, "relevant_spans": none})[1]["results"])


@pytest.mark.parametrize("change", [{}, {"relevant_spans": {"mode": "disabled", "threshold": 0}}])
def test_there_are_no_spans_unless_asked_for(change):
    """A result without spans has no such field."""
    assert all(result.keys() == {"index", "relevance_score"} for result in post({**ASKED, **change})[1]["results"])


# Scorers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scores", [[0.5], [0.5] * 4, [0.5, 0.5, 1.5], [0.5, -0.1, 0.5], [0.5, None, 0.5], [0.5, "1", 1]]
)
def test_a_scorer_that_returns_no_scores_is_an_error(scores):
    """Wrong scores raise an error. No partial ranking is returned."""
    with pytest.raises(errors.ScorerError):
        post(ASKED, scored(*scores))


def test_the_exception_of_a_scorer_is_named():
    """The error has the name of the scorer and the cause."""

    def broken(query, documents):
        raise KeyError("model file")

    with pytest.raises(errors.ScorerError, match=r"broken.*KeyError.*model file") as caught:
        post(ASKED, lambda model: as_scorer(broken))
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_scorer_without_its_extra_names_the_extra():
    """An ImportError of a scorer is raised unchanged, because it says what to install."""

    def needs_extra(query, documents):
        raise ImportError('pip install "cohere-rerank[semantic]"')

    with pytest.raises(ImportError, match="semantic"):
        post(ASKED, lambda model: as_scorer(needs_extra))


def test_the_model_name_selects_the_scorer():
    """The model ``local-NAME`` selects a scorer if the address names none. Other models use the default."""
    asked: list[str] = []

    def scorer_for(model):
        asked.append(model)
        return get_scorer("lexical")

    post({**ASKED, "model": "rerank-v4.0-pro"}, scorer_for)
    assert asked == ["rerank-v4.0-pro"]
    default = get_scorer("lexical")
    for address, model in [("local:", "rerank-v3.5"), ("local:", "local-lexical"), ("local:lexical", "local-other")]:
        assert scorer_resolver(address)(model) is default


def test_a_scorer_of_the_user_is_used_instead_of_the_address():
    """A scorer of the user is used for every model and address."""
    mine = as_scorer(lambda query, documents: [0.5])
    assert scorer_resolver("local:lexical", mine)("local-lexical") is mine


def test_an_unknown_scorer_is_named():
    """The message lists the known scorers."""
    with pytest.raises(errors.InvalidRequestError, match=r"'bm52'.*local:lexical"):
        scorer_resolver("local:bm52")


@pytest.mark.parametrize("thing", [5, "lexical", object()])
def test_an_object_that_is_not_a_scorer_is_rejected(thing):
    """A scorer is an object with score(), name, version and pointwise, or a function."""
    with pytest.raises(errors.InvalidRequestError, match="score"):
        as_scorer(thing)


def test_an_incomplete_scorer_is_rejected():
    """The message names the missing attributes."""

    class Half:
        name = "half"

        def score(self, query, documents):
            return []

    with pytest.raises(errors.InvalidRequestError, match=r"version.*pointwise"):
        as_scorer(Half())
