"""Invalid arguments of a batch are rejected before its first row."""

from __future__ import annotations

import pyarrow
import pytest

from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.batch.helpers import row


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number, at least 1"),
        ({"concurrency": None}, "concurrency must be"),
        ({"on_error": "ignore"}, "on_error must be 'return' or 'raise', got 'ignore'"),
        ({"progress": "yes"}, "progress must be True, False or a function, got "),
        ({"top_k": 3}, "rerank takes no 'top_k'"),
        ({"requests": "text"}, "requests must be an iterable of mappings, got 'text'"),
        ({"requests": {"query": "q"}}, "got dict"),
        ({"requests": 5}, "got 5"),
        ({"requests": pyarrow.table({"query": ["q"]})}, "got Table; pass requests.to_pylist()"),
    ],
)
@pytest.mark.parametrize("kind", [ClientV2, AsyncClientV2])
def test_invalid_arguments_are_rejected_at_once(kind, options, message):
    """The call itself raises, and not the first step of the iteration."""
    options = {"requests": [], **options}
    with pytest.raises(errors.InvalidRequestError, match=message):
        kind(base_url="local:").rerank_many(options.pop("requests"), **options)


def test_the_blocking_client_rejects_asynchronous_rows():
    """The error names the client that accepts them."""

    async def source():
        yield row(0)

    with pytest.raises(errors.InvalidRequestError, match="AsyncClientV2"):
        ClientV2(base_url="local:").rerank_many(source())  # type: ignore[arg-type]
