"""A scorer that fails or cannot be loaded causes an error without details."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from tests.server.request_helpers import error_message
from tests.server.running_server import RERANK_BODY, RunningServer


def broken(query, documents):
    raise ValueError(f"cannot score {documents}")


def nonsense(query, documents):
    return [2.0] * len(documents)


@pytest.mark.parametrize("scorer", [broken, nonsense])
def test_a_scorer_that_fails_is_an_internal_error_without_details(scorer, caplog):
    """The log has the request id and the place. Neither the log nor the response has a document."""
    from cohere_rerank.server.logs import JsonFormatter

    with RunningServer(scorer=scorer) as running:
        refused = running.post(body={**RERANK_BODY, "documents": ["secret-document"]})
        assert "secret" not in error_message(refused, 500)
    record = next(record for record in caplog.records if record.levelno >= logging.ERROR)
    line = json.loads(JsonFormatter().format(record))
    assert line["request_id"] == refused.json()["id"]
    assert line["where"]
    assert "secret" not in json.dumps(line)
    plain_text = logging.Formatter().format(record)  # of a program that we run in
    assert "secret" not in plain_text
    assert refused.json()["id"] in plain_text


def test_an_unexpected_error_is_logged_without_its_text(caplog, monkeypatch):
    """Another program may format an exception with its text."""
    from cohere_rerank.server import backends

    def fail(*_, **__):
        raise KeyError("secret-document")

    monkeypatch.setattr(backends, "handle_parsed", fail)
    with RunningServer() as running:
        refused = running.post()
    assert error_message(refused, 500).startswith("internal server error")
    record = next(record for record in caplog.records if record.levelno >= logging.ERROR)
    assert record.fields["error"] == "KeyError"
    assert "secret" not in logging.Formatter().format(record)


def test_a_scorer_that_cannot_be_loaded_is_logged_without_its_text(caplog):
    """The log has its type and place, and the server does not start."""
    from cohere_rerank.server import ServerSettings, create_app

    app, sent = create_app(ServerSettings()), []

    def fail():
        raise OSError("secret-path")

    async def scenario():
        async def receive():
            return {"type": "lifespan.startup"}

        async def send(message):
            sent.append(message)

        app._backend.load = fail
        await app({"type": "lifespan"}, receive, send)

    asyncio.run(scenario())
    assert sent == [{"type": "lifespan.startup.failed", "message": "OSError"}]
    assert caplog.records[-1].fields["where"]
    assert "secret" not in logging.Formatter().format(caplog.records[-1])


def test_a_model_that_cannot_be_loaded_is_not_found(open_server):
    """The 404 says what to install or to set."""
    assert "local:onnx" in error_message(open_server.post(body={**RERANK_BODY, "model": "local-onnx"}), 404)
