"""A warm call runs few Python functions. The number is the same on every machine, unlike a time."""

from __future__ import annotations

import cohere_rerank
from tests.python_calls import calls_of, calls_of_async

MOST_SYNC, MOST_ASYNC = 87, 125  # with the functions of the event loop
KEY = "k" * 40  # as long as that of Cohere: a shorter one is searched for in more places
ASKED = {"model": "m", "query": "tea", "documents": ["x" * 60] * 5}


def test_a_blocking_call_runs_few_functions(server):
    """A call of five documents on an open connection."""
    with cohere_rerank.ClientV2(api_key=KEY, base_url=server.url) as client:
        functions = calls_of(lambda: client.rerank(**ASKED))
    assert sum(functions.values()) <= MOST_SYNC, functions.most_common()


def test_an_asynchronous_call_runs_few_functions(server):
    """The same call in a task. Each frame that waits for the reply counts twice."""
    client = cohere_rerank.AsyncClientV2(api_key=KEY, base_url=server.url)
    functions = calls_of_async(lambda: client.rerank(**ASKED))
    assert sum(functions.values()) <= MOST_ASYNC, functions.most_common()


def test_the_count_sees_each_function():
    """The count above is not zero by mistake."""

    def inner():
        return 1

    def outer():
        return inner() + inner()

    functions = calls_of(outer)
    assert sum(functions.values()) == 3
