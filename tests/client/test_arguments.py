"""The arguments of a call: their place on the wire, and what is refused before anything is sent."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

import cohere_rerank
from cohere_rerank import RerankRelevantSpans, errors
from tests.client.calls import CALL
from tests.fake_server import error


def test_none_means_not_given(server, make_either):
    """None is never sent as null: the body is what it is without the argument, to the byte."""
    optional = ["top_n", "max_tokens_per_doc", "relevant_spans", "priority", "request_options"]
    optional += ["rank_fields", "text", "on_empty", "min_score", "max_documents_per_request", "deadline"]
    client = make_either()
    client.rerank(**CALL)
    client.rerank(**CALL, **dict.fromkeys(optional))
    client.rerank(**CALL, relevant_spans={"mode": "enabled", "threshold": None, "max_spans": None})
    bare, none, spans = (request.body for request in server.requests)
    assert bare == none == json.dumps(CALL, separators=(",", ":")).encode()
    assert json.loads(spans)["relevant_spans"] == {"mode": "enabled"}


@pytest.mark.parametrize("form", [dict, lambda **fields: RerankRelevantSpans(**fields)])
def test_every_argument_has_its_place_on_the_wire(server, make_either, form):
    """Names and values as Cohere's reference has them; what is ours alone stays here."""
    make_either().rerank(
        **CALL,
        top_n=2,
        max_tokens_per_doc=512,
        relevant_spans=form(mode="enabled", threshold=0.25, max_spans=3),
        priority=0,
        rank_fields=["text"],
        min_score=0.1,
        max_documents_per_request=1000,
        deadline=20,
    )
    assert server.requests[0].json == {
        **CALL,
        "top_n": 2,
        "max_tokens_per_doc": 512,
        "relevant_spans": {"mode": "enabled", "threshold": 0.25, "max_spans": 3},
        "priority": 0,
    }


def test_the_headers_say_what_is_needed_and_no_more(server, make_either):
    """JSON, the key, who asks; nothing about the machine."""
    make_either(client_name="shop").rerank(**CALL)
    headers = {name.lower(): value for name, value in server.requests[0].headers}
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer test-key"
    assert headers["x-client-name"] == "shop"
    assert headers["user-agent"] == f"cohere-rerank/{cohere_rerank.__version__}"
    assert headers.keys() - {"content-type", "authorization", "x-client-name", "user-agent"} <= {
        "host", "content-length", "accept", "accept-encoding", "connection",
    }  # fmt: skip


def test_rerank_takes_keywords_only(make_either):
    """As in the official client."""
    client = make_either().client
    with pytest.raises(TypeError):
        client.rerank("rerank-v3.5", "query", ["document"])


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"model": " "},
        {"query": 5},
        {"query": "\n"},
        {"documents": "one text"},
        {"documents": None},
        {"documents": ["a", ""]},
        {"documents": ["a", None]},
        {"documents": ["a", 5]},
        {"top_n": 0},
        {"top_n": 1.5},
        {"max_tokens_per_doc": 0},
        {"priority": 1000},
        {"priority": -1},
        {"relevant_spans": "enabled"},
        {"relevant_spans": {"threshold": 0.5}},
        {"min_score": "high"},
        {"min_score": float("nan")},
        {"max_documents_per_request": 0},
        {"deadline": 0},
        {"rank_fields": "text"},
    ],
    ids=str,
)
def test_bad_input_is_a_value_error_before_anything_is_sent(server, make_either, change):
    """Each names the argument; ``except ValueError`` catches them all."""
    client = make_either()
    name = next(iter(change)).removesuffix("s")
    with pytest.raises(ValueError, match=name) as caught:
        client.rerank(**{**CALL, **change})
    assert isinstance(caught.value, errors.InvalidRequestError)
    assert server.n_connections == 0


def test_the_local_engine_refuses_the_same_input(make_either):
    """What is refused for the API is refused offline, so that it is found offline."""
    client = make_either(base_url="local:")
    for change in [{"max_documents_per_request": 0}, {"top_n": 0}, {"priority": 1000}, {"documents": [""]}]:
        with pytest.raises(errors.InvalidRequestError):
            client.rerank(**{**CALL, **change})


def test_the_callers_objects_are_not_changed(server, clock, make_either):
    """Documents, options and spans are the same after a call that was repeated and split."""
    call = {
        "documents": [{"b": [3, 1], "a": {"z": None}}, "text", {"text": "x"}],
        "relevant_spans": {"mode": "enabled", "threshold": None},
        "rank_fields": ["text", "b"],
        "request_options": {
            "max_retries": 1,
            "timeout": None,
            "additional_headers": {"x-one": "1", "x-none": None},
            "additional_body_parameters": {"priority": 5},
            "additional_query_parameters": {"q": [1, 2]},
        },
        "max_documents_per_request": 2,
    }
    before = copy.deepcopy(call)
    server.script(error(503, "later"))
    make_either(clock=clock).rerank(**{**CALL, **call})
    assert call == before
    assert list(call["documents"][0]) == list(before["documents"][0])


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("top_k", "Use top_n"),
        ("max_chunks_per_doc", "Use max_tokens_per_doc"),
        ("threshold", "Use min_score"),
        ("timeout", "Use request_options"),
    ],
)
def test_arguments_of_other_apis_get_advice(make_either, name, advice):
    """A TypeError, as for any unknown argument, with the name that this client has for it."""
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'. {advice}"):
        make_either().rerank(**CALL, **{name: 3})


def test_an_unknown_argument_is_a_type_error(make_either):
    """As for any Python function."""
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'top_m'$"):
        make_either().rerank(**CALL, top_m=3)


def test_return_documents_is_accepted_with_a_warning(server, make_either):
    """Each result has its document in any case, and the API gets no field that it does not know."""
    with pytest.warns(UserWarning, match="return_documents has no effect in v2") as caught:
        response = make_either().rerank(**CALL, return_documents=True)
    assert response.results[0].document in CALL["documents"]
    assert "return_documents" not in server.requests[0].json
    package = Path(cohere_rerank.__file__).parent
    assert not [warning.filename for warning in caught if package in Path(warning.filename).parents]


def test_return_documents_false_is_accepted_in_silence(make_either):
    """It asks for nothing."""
    assert len(make_either().rerank(**CALL, return_documents=False).results) == 3


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("top_n", "3", "top_n must be a whole number, at least 1, got '3'"),
        ("min_score", "0.5", "min_score must be a number, got '0.5'"),
        ("top_n", "a document " * 9, "top_n must be a whole number, at least 1, got a str of 99 characters"),
    ],
)
def test_a_number_as_text_is_shown(make_either, argument, value, message):
    """A long text is not: it may be a document."""
    with pytest.raises(errors.InvalidRequestError, match=f"{message}$"):
        make_either().rerank(**CALL, **{argument: value})


def test_a_min_score_in_percent_warns(make_either):
    """Scores are in [0, 1], so it removes every result."""
    with pytest.warns(UserWarning, match=r"min_score=70 is above 1, but the scores are in \[0, 1\]"):
        assert make_either().rerank(**CALL, min_score=70).results == []
