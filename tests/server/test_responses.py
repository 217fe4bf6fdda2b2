"""The server's responses: rankings at every path, models, pages."""

from __future__ import annotations

import json

import pytest

from cohere_rerank.local.endpoint import handle
from cohere_rerank.local.registry import get_scorer
from tests.server.running_server import RERANK_BODY


def test_v2_returns_the_reply_of_the_endpoint(open_server):
    """The response equals the endpoint's, except for the id, which is the request's."""
    _, _, expected = handle(json.dumps(RERANK_BODY).encode(), lambda _: get_scorer("lexical"))
    got = open_server.post(body=RERANK_BODY)
    assert got.status_code == 200
    assert {**got.json(), "id": ""} == {**json.loads(expected), "id": ""}


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank", "/v2/rerank/"])
def test_every_rerank_path_ranks(open_server, path):
    """All paths return the same order."""
    results = open_server.post(path).json()["results"]
    assert [result["index"] for result in results] == [1, 2, 0]


def test_tei_shares_its_path_with_jina(open_server):
    """`texts` instead of `documents` selects the form of TEI."""
    ranked = open_server.post("/rerank", {"query": "green tea", "texts": RERANK_BODY["documents"]}).json()
    assert [item["index"] for item in ranked] == [1, 2, 0]


def test_top_n_above_the_number_of_documents_returns_all(open_server):
    """All documents are returned, as by the API."""
    assert len(open_server.post(body={**RERANK_BODY, "top_n": 99}).json()["results"]) == 3


def test_spans_and_cuts_work_as_they_do_locally(open_server):
    """The options of v2 reach the engine."""
    body = {
        **RERANK_BODY,
        "relevant_spans": {"mode": "enabled", "max_spans": 1},
        "max_tokens_per_doc": 100,
        "top_n": 1,
    }
    result = open_server.post(body=body).json()["results"][0]
    assert [(span["start"], span["end"]) for span in result["relevant_spans"]] == [(0, 9)]


def test_models_are_listed_in_both_forms(open_server):
    """Cohere's clients read `models`, OpenAI's clients read `data`."""
    listed = open_server.http.get("/v1/models").json()
    names = [model["name"] for model in listed["models"]]
    assert {"rerank-v4.0-fast", "local-lexical"} <= set(names)
    assert [model["id"] for model in listed["data"]] == names


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics", "/openapi.json", "/v1/models"])
def test_pages_answer_get_and_head(open_server, path):
    """HEAD returns the headers of GET without a body."""
    got, head = open_server.http.get(path), open_server.http.head(path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert got.content
    assert not head.content
