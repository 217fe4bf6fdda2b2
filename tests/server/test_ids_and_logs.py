"""Request ids, logs and metrics. They never contain the content of a request."""

from __future__ import annotations

import logging
import uuid

import pytest

from tests.server.running_server import RERANK_BODY, wait_until


def test_a_valid_request_id_of_the_caller_is_used(open_server):
    """A valid id of the caller is used. An id that could break a log line is replaced."""
    assert open_server.post(**{"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert open_server.post(**{"x-request-id": "abc-1"}).json()["id"] == "abc-1"
    for odd in ("", "a b", "x" * 129, '"}', "a\tb"):
        uuid.UUID(open_server.post(**{"x-request-id": odd}).headers["x-request-id"])
    assert open_server.post().headers["x-request-id"] != open_server.post().headers["x-request-id"]


def test_access_logs_have_no_content(keyed_server, caplog):
    """Each request has one record with id, path, status, time and sizes, and without texts and keys."""
    caplog.set_level(logging.INFO, logger="cohere_rerank.server.access")
    body = {**RERANK_BODY, "query": "secret-query", "documents": ["secret-document"] * 2}
    keyed_server.http.post("/v2/rerank?secret-parameter=1", json=body, headers={"authorization": "Bearer first-key"})
    wait_until(lambda: caplog.records)
    record = caplog.records[-1].fields
    assert (record["method"], record["path"], record["status"], record["documents"]) == ("POST", "/v2/rerank", 200, 2)
    assert record["request_bytes"] > 0
    assert record["ms"] >= 0
    assert "secret" not in str(record)
    assert "first-key" not in str(record)


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/v2/v2/rerank", "*/v2/rerank"),
        ("/secret/v1/rerank/", "*/v1/rerank"),
        ("/v2/rerank/rerank", "*/rerank"),
        ("/secret/v1/models", "*/v1/models"),
        ("/secret/ready", "*/ready"),
        ("/secretrerank", "other"),
        ("/v2/rerank/secret", "other"),
        ("/secret", "other"),
    ],
)
def test_a_wrong_base_url_shows_in_the_log(open_server, caplog, path, logged):
    """A path that ends with a known path is logged as a star and that end, without the caller's part."""
    caplog.set_level(logging.INFO, logger="cohere_rerank.server.access")
    assert open_server.post(path).status_code == 404
    wait_until(lambda: caplog.records)
    record = caplog.records[-1].fields
    assert (record["path"], record["status"]) == (logged, 404)
    assert "secret" not in str(record)


def test_paths_of_callers_create_no_new_series(open_server):
    """Unknown paths and methods are counted as `other`."""
    open_server.http.get("/made-up-path")
    open_server.http.get("/made-up-path/v2/rerank")
    open_server.http.request("BREW", "/v2/rerank")
    text = open_server.http.get("/metrics").text
    assert "made-up-path" not in text
    assert 'method="other"' in text
    assert 'path="other"' in text
