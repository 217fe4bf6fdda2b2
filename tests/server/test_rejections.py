"""Every rejected request gets JSON with a message."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohere_rerank.local.request import FIELDS
from tests.server.request_helpers import error_message
from tests.server.running_server import RERANK_BODY, RunningServer

MALFORMED = {
    "empty": b"",
    "cut short": b'{"model": "m", "query": ',
    "no object": b"[1, 2]",
    "null": b"null",
    "deep": b'{"documents": ' + b"[" * 40_000,
    "deep and whole": b'{"model":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "bad UTF-8": b'{"model": "m", "query": "\xff\xfe", "documents": ["a"]}',
    "lone surrogate": b'{"model": "m", "query": "\\ud800", "documents": ["a"]}',
    "NaN": b'{"model": "m", "query": "q", "documents": ["a"], "top_n": NaN}',
    "zero bytes": bytes(1000),
    "UTF-16": json.dumps(RERANK_BODY).encode("utf-16"),
}


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
@pytest.mark.parametrize("name", MALFORMED)
def test_invalid_json_is_rejected(open_server, name, path):
    """Invalid JSON gets 400 with Cohere's message, never an internal error."""
    assert error_message(open_server.post(path, MALFORMED[name]), 400).startswith("invalid json syntax")


WRONG = [
    ({"model": None}, 400, "a model parameter is required for this endpoint."),
    ({"query": " "}, 400, "invalid request: query must not be empty or be only whitespace"),
    ({"query": {}}, 422, "invalid type: parameter 'query' must be a string"),
    ({"query": 3}, 422, "invalid type: parameter 'query' must be a string"),
    ({"documents": "abc"}, 422, "invalid type: parameter 'documents' must be a list"),
    ({"documents": []}, 400, "invalid request: list of documents must not be empty"),
    ({"documents": [{"text": "a"}]}, 422, "invalid type: parameter 'documents[0]' must be a string"),
    ({"top_n": 0}, 400, "invalid request: top_n must be at least 1"),
    ({"top_n": "3"}, 422, "invalid type: parameter 'top_n' must be an integer"),
]


@pytest.mark.parametrize(("changes", "status", "words"), WRONG)
def test_wrong_values_get_coheres_messages(open_server, changes, status, words):
    """The endpoint's own messages reach the caller."""
    assert error_message(open_server.post(body={**RERANK_BODY, **changes}), status) == words


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
@pytest.mark.parametrize("is_strict", [False, True])
def test_a_wrong_type_is_reported_in_every_dialect(path, is_strict):
    """A wrong type is not reported as an empty value."""
    with RunningServer(is_strict=is_strict) as running:
        assert "'documents' must be a list" in error_message(
            running.post(path, {**RERANK_BODY, "documents": "abc"}), 422
        )
        assert "'query' must be a string" in error_message(running.post(path, {**RERANK_BODY, "query": {}}), 422)
        assert "'texts' must be a list" in error_message(running.post("/rerank", {"query": "q", "texts": "abc"}), 422)


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
def test_an_empty_document_is_rejected_by_a_strict_server_only(open_server, path):
    """Otherwise it is ranked, with a warning, because applications send empty chunks and need a score for each."""
    body = {**RERANK_BODY, "documents": ["green tea", "", ""]}
    reply = open_server.post(path, body).json()
    assert [item["index"] for item in reply["results"]] == [0, 1, 2]
    if "meta" in reply:
        assert reply["meta"]["warnings"][-1] == "empty documents, ranked as '-': 2"
    with RunningServer(is_strict=True) as running:
        assert error_message(running.post(path, body), 400) == "invalid request: document at index 1 cannot be empty"


def test_common_extra_fields_are_tolerated(open_server):
    """Nulls count as omitted. Unknown fields have no effect, and a warning names them."""
    said = open_server.post(body={**RERANK_BODY, "top_n": None, "return_documents": False, "top_k": 1}).json()
    assert len(said["results"]) == 3
    assert said["meta"]["warnings"][-1] == "fields without effect here: 'top_k'"


def test_strict_rejects_what_cohere_rejects():
    """An unknown field gets 422 with its name."""
    with RunningServer(is_strict=True) as running:
        unknown = running.post(body={**RERANK_BODY, "return_documents": True})
        assert error_message(unknown, 422) == "unknown field: parameter 'return_documents' is not a valid field"
        assert error_message(running.post(body={**RERANK_BODY, "top_n": None}), 422)
        assert running.post().status_code == 200


def test_unknown_paths_and_methods(open_server):
    """A 404 names the rerank paths, and a 405 names the allowed methods."""
    assert "/v2/rerank" in error_message(open_server.http.get("/v2/embed"), 404)
    for method, path, allowed in [("GET", "/v2/rerank", "POST"), ("POST", "/health", "GET, HEAD")]:
        refused = open_server.http.request(method, path)
        assert allowed in error_message(refused, 405)
        assert refused.headers["allow"] == allowed


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_other_content_types_are_rejected(open_server, kind):
    """Among them is a form that another web page could send."""
    headers = {} if kind is None else {"content-type": kind}
    refused = open_server.http.post("/v2/rerank", content=json.dumps(RERANK_BODY).encode(), headers=headers)
    assert "application/json" in error_message(refused, 415)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_a_charset_of_utf8_is_fine(open_server, kind):
    """UTF-8 is accepted in any spelling."""
    assert open_server.post(**{"content-type": kind}).status_code == 200


def test_compressed_bodies_are_rejected(open_server):
    """A compressed body could expand without a limit."""
    assert "compressed" in error_message(open_server.post(**{"content-encoding": "gzip"}), 415)


def test_errors_at_rerank_are_readable_for_tei_clients(open_server):
    """The body has `error` and `error_type` next to `message`."""
    body = open_server.post("/rerank", {"query": "q", "texts": []}).json()
    assert body["error"] == body["message"]
    assert body["error_type"] == "Validation"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
NAMES = sorted(FIELDS | {"texts", "rank_fields", "return_documents", "max_chunks_per_doc", "raw_scores"})


# The decorator replaces the list of the profile, so too_slow is here again: a busy machine is slow to create examples.
@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    path=st.sampled_from(["/v2/rerank", "/v1/rerank", "/rerank"]),
    changes=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON_VALUES, max_size=4),
)
def test_no_json_value_causes_an_internal_error(open_server, path, changes):
    """Any JSON values cause a ranking or a 4xx with a message."""
    said = open_server.post(path, {**RERANK_BODY, **changes})
    assert said.status_code in (200, 400, 422), said.text
    assert said.status_code == 200 or error_message(said, said.status_code)
