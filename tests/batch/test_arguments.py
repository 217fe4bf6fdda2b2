"""Wrong arguments of a batch are refused before its first row."""

from __future__ import annotations

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.batch.driving import row


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number, at least 1"),
        ({"concurrency": None}, "concurrency must be"),
        ({"on_error": "ignore"}, "on_error must be 'return' or 'raise', got 'ignore'"),
        ({"progress": "yes"}, "progress must be a bool or a function, got str"),
        ({"top_k": 3}, "rerank takes no 'top_k'"),
        ({"requests": "text"}, "requests must be an iterable of mappings, got str"),
        ({"requests": {"query": "q"}}, "got dict"),
        ({"requests": 5}, "got int"),
    ],
)
@pytest.mark.parametrize("kind", [ClientV2, AsyncClientV2])
def test_wrong_arguments_are_refused_at_once(kind, options, message):
    """Not only when the first outcome is asked for."""
    options = {"requests": [], **options}
    with pytest.raises(errors.InvalidRequestError, match=message):
        kind(base_url="local:").rerank_many(options.pop("requests"), **options)


def test_the_blocking_client_takes_no_asynchronous_rows():
    """It names the client that does."""

    async def source():
        yield row(0)

    with pytest.raises(errors.InvalidRequestError, match="AsyncClientV2"):
        ClientV2(base_url="local:").rerank_many(source())  # type: ignore[arg-type]
