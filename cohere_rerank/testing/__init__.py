"""A testing kit for programs that rerank. Its server returns the scores that a test sets, and fails on demand.

    >>> from cohere_rerank.testing import FaultServer
    >>> with FaultServer() as fake:
    ...     fake.fail(status=503)
    ...     fake.reply({"green tea": 0.9})
    ...     response = fake.client(max_retries=1).rerank(model="any", query="tea", documents=["coffee", "green tea"])
    >>> [(result.index, result.relevance_score) for result in response.results]
    [(1, 0.9), (0, 0.0)]
    >>> [call.query for call in fake.calls]
    ['tea', 'tea']

pytest finds the fixtures ``fake_cohere``, ``local_cohere`` and ``async_local_cohere`` without an import. Names are
imported on first use (PEP 562), so that the plugin costs a suite without these fixtures almost nothing.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cassettes import cassette as cassette
    from .clock import FakeClock as FakeClock
    from .faults import FaultServer as FaultServer
    from .wire import Request as Request

_EXPORTS = {
    "FaultServer": "faults",
    "FakeClock": "clock",
    "Request": "wire",
    "cassette": "cassettes",
}
__all__ = ["FakeClock", "FaultServer", "Request", "cassette"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
