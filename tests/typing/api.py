"""The public surface as a type checker sees it. Checked by mypy and pyright, never run."""
# mypy: warn-unused-ignores, disallow-untyped-defs
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pydantic
from typing_extensions import assert_type

import cohere_rerank as cohere
from cohere_rerank import (
    AsyncClientV2,
    ClientEnvironment,
    ClientV2,
    RerankRelevantSpans,
    RetryPolicy,
    Scorer,
    V2RerankResponse,
    V2RerankResponseResultsItem,
    errors,
)

# Making clients.


def key() -> str:
    return "key"


async def fetch_key() -> str:
    return "key"


def scores(query: str, documents: Sequence[str]) -> list[float]:
    return [0.5 for _ in documents]


class Constant:
    name = "constant"
    version = "1"
    pointwise = True

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return [0.5 for _ in documents]


scorer: Scorer = Constant()
client = ClientV2(
    "key",
    base_url="https://api.cohere.com",
    environment=ClientEnvironment.PRODUCTION,
    client_name="shop",
    timeout=20,
    max_retries=3,
    httpx_client=httpx.Client(),
    thread_pool_executor=ThreadPoolExecutor(),
    log_warning_experimental_features=False,
    connect_timeout=1.5,
    deadline=30,
    retry_policy=RetryPolicy(max_retries=1, retry_statuses=frozenset({429})),
    max_documents_per_request=1000,
    max_connections=50,
    max_response_bytes=10**6,
    fallback="local",
)
ClientV2()
ClientV2(None, base_url=None, timeout=None, max_retries=None, httpx_client=None)
ClientV2(key, fallback=scores)
ClientV2(base_url="local:", scorer=scores)
ClientV2(base_url="local:", scorer=Constant(), fallback=scorer)
AsyncClientV2(fetch_key, httpx_client=httpx.AsyncClient())
AsyncClientV2(key, httpx_client=cohere.DefaultAioHttpClient())
AsyncClientV2(api_key="key", httpx_client=cohere.DefaultAsyncHttpxClient(timeout=20))
assert_type(client.with_options(max_retries=0), ClientV2)
assert_type(client.v2, ClientV2)

# Documents of every kind.


@dataclass
class Ticket:
    title: str


class Page(pydantic.BaseModel):
    title: str


def records() -> Iterator[dict[str, str]]:
    yield {"title": "a"}


strings: list[str] = ["a", "b"]
client.rerank(model="m", query="q", documents=strings)
client.rerank(model="m", query="q", documents=("a", {"title": "b"}, Ticket("c"), Page(title="d")))
client.rerank(model="m", query="q", documents=records(), rank_fields=["title"])
client.rerank(model="m", query="q", documents={"a": 1}.keys())

# Every argument, and None for those that may be left out.

response = client.rerank(
    model="rerank-v4.0-pro",
    query="q",
    documents=strings,
    top_n=3,
    max_tokens_per_doc=512,
    relevant_spans=RerankRelevantSpans(mode="enabled", threshold=0.1, max_spans=3),
    priority=0,
    request_options={
        "timeout": 20,
        "timeout_in_seconds": 20,
        "max_retries": None,
        "additional_headers": {"x-a": "b"},
        "additional_query_parameters": {"a": [1, 2]},
        "additional_body_parameters": {"a": None},
        "deadline": 5.5,
    },
    min_score=0.5,
    max_documents_per_request=100,
    deadline=10,
)
client.rerank(
    model="m",
    query="q",
    documents=strings,
    top_n=None,
    max_tokens_per_doc=None,
    relevant_spans={"mode": "enabled"},
    priority=None,
    request_options=None,
    rank_fields=None,
    min_score=None,
    max_documents_per_request=None,
    deadline=None,
)

# What comes back.

assert_type(response, V2RerankResponse)
assert_type(response.results, list[V2RerankResponseResultsItem])
assert_type(response.id, str | None)
assert_type(response.is_fallback, bool)
assert_type(response.scores, list[float | None])
assert_type(response.filter(min_score=0.5), V2RerankResponse)
assert_type(response.model_dump(), dict[str, Any])
assert_type(response.model_dump_json(), str)
assert_type(response.dict(), dict[str, Any])
assert_type(response.json(), str)
item = response.results[0]
assert_type(item.index, int)
assert_type(item.relevance_score, float)
assert_type(item.span_texts, list[str])
assert_type(item.document, Any)
for span in item.relevant_spans or []:
    assert_type((span.start, span.end, span.score), tuple[int, int, float])
if response.meta is not None:
    assert_type(response.meta.warnings, list[str] | None)
    if response.meta.billed_units is not None:
        assert_type(response.meta.billed_units.search_units, float | None)

raw = client.with_raw_response.rerank(model="m", query="q", documents=strings, top_n=1)
assert_type(raw.data, V2RerankResponse)
assert_type(raw.headers, dict[str, str])
assert_type(raw.status_code, int | None)
assert_type(raw.response, httpx.Response | None)

with ClientV2() as opened:
    assert_type(opened, ClientV2)
    assert_type(opened.close(), None)


async def main() -> None:
    async with AsyncClientV2() as opened:
        assert_type(opened, AsyncClientV2)
        assert_type(await opened.rerank(model="m", query="q", documents=strings), V2RerankResponse)
        assert_type(
            (await opened.with_raw_response.rerank(model="m", query="q", documents=strings)).data, V2RerankResponse
        )
        first, second = await asyncio.gather(
            opened.rerank(model="m", query="q", documents=strings),
            opened.with_options(max_retries=0).v2.rerank(model="m", query="q", documents=strings),
        )
        assert_type((first, second), tuple[V2RerankResponse, V2RerankResponse])
        await opened.aclose()
        await opened.close()


# Errors.

try:
    client.rerank(model="m", query="q", documents=strings)
except errors.TooManyRequestsError as error:
    assert_type(error.retry_after, float | None)
    assert_type(error.status_code, int | None)
    assert_type(error.headers, dict[str, str] | None)
    assert_type(error.attempts, int)
except cohere.ConnectionFailedError as failure:
    assert_type(failure.request_id, str | None)
    assert_type(failure.waited_s, float)
    assert_type(failure.part, str | None)

# What a type checker must refuse: each ignore is reported once it is not needed.

client.rerank("m", "q", strings)  # type: ignore[call-arg]
client.rerank(model="m", query="q")  # type: ignore[call-arg]
client.rerank(model="m", query="q", documents=5)  # type: ignore[arg-type]
client.rerank(model="m", query="q", documents=strings, top="3")  # type: ignore[call-arg]
client.with_raw_response.rerank(model="m", query="q")  # type: ignore[call-arg]
client.with_raw_response.rerank(model="m", query="q", documents=strings, top=3)  # type: ignore[call-arg]
ClientV2("key", "https://api.cohere.com")  # type: ignore[call-arg]
response.results[0].index = 1  # type: ignore[misc]
