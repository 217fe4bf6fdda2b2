"""Context variables, such as those of tracers and loggers, reach every thread and task that the library starts."""

from __future__ import annotations

from contextvars import ContextVar

import pytest

TRACE = ContextVar("trace", default="none")
DOCUMENTS = ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["split", "batch"])
def test_a_context_variable_reaches_each_request(server, make_client, kind):
    """The function that returns the key runs for each request, in the thread that sends it."""
    seen = []

    def key():
        seen.append(TRACE.get())
        return "a-key"

    token = TRACE.set("of the caller")
    try:
        client = make_client(key)
        if kind == "split":
            client.rerank(model="m", query="q", documents=DOCUMENTS, max_documents_per_request=1)
        else:
            list(client.rerank_many([{"query": "q", "documents": DOCUMENTS}] * 3, model="m"))
    finally:
        TRACE.reset(token)
    assert seen == ["of the caller"] * 3
