"""Google's ranking API: the requests are those of Google's own client. No call to Google is made."""

from __future__ import annotations

import asyncio
import json

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, RateLimit
from cohere_rerank.errors import (
    BadRequestError,
    InvalidRequestError,
    InvalidResponseError,
    MissingApiKeyError,
    QuotaExceededError,
    TooManyRequestsError,
)
from tests import environments
from tests.fake_server import reply

TOKEN = "ya29.access-token-0123456789"
CONFIG = "/v1/projects/my-project/locations/global/rankingConfigs/default_ranking_config:rank"
CALL = {"model": "semantic-ranker-default@latest", "query": "q", "documents": ["a", "b"], "top_n": 2}


@pytest.fixture
def google(server):
    """A server that scores the record i of n by (n - i) / n, as JSON of Google: without a score of 0."""

    async def answer(exchange):
        records = exchange.request.json["records"]
        scored = [{"id": record["id"], "score": float(record["content"])} for record in records]
        scored.sort(key=lambda record: -record["score"])
        scored = scored[: exchange.request.json.get("topN") or None]
        kept = [{name: value for name, value in record.items() if value != 0.0} for record in scored]
        await reply(json={"records": kept})(exchange)

    server.default = answer
    return server


def address(server):
    return f"vertex:{server.url}{CONFIG}"


def documents(n):
    """Documents whose text is their score."""
    return [str(index / n) for index in range(n)]


def test_a_project_has_its_address():
    """At Google, with the default ranking config."""
    config = ClientV2(TOKEN, base_url="vertex:my-project")._config
    assert config.cloud.dialect.url(config.base_url, {}) == f"https://discoveryengine.googleapis.com{CONFIG}"


def test_a_call_is_a_rank_request(google, make_either):
    """Results are best first, and a score of 0 is a score."""
    response = make_either(TOKEN, base_url=address(google)).rerank(
        model=CALL["model"], query="q", documents=["0", "0.5", "0.25"]
    )
    request = google.requests[-1]
    assert request.path == CONFIG
    assert request.header("authorization") == f"Bearer {TOKEN}"
    assert request.header("x-goog-user-project") == "my-project"
    assert request.json == {
        "model": CALL["model"],
        "query": "q",
        "records": [{"id": str(index), "content": text} for index, text in enumerate(["0", "0.5", "0.25"])],
        "ignoreRecordDetailsInResponse": True,
    }
    assert [(item.index, item.relevance_score) for item in response.results] == [(1, 0.5), (2, 0.25), (0, 0.0)]
    assert (response.cost, response.score_scale, response.is_partial) == (None, "unit", False)


def test_lists_are_split_at_200_records(google, make_either):
    """The parts are merged by score, and top_n is that of the whole list."""
    response = make_either(TOKEN, base_url=address(google)).rerank(
        model="m", query="q", documents=documents(450), top_n=3
    )
    assert sorted(len(request.json["records"]) for request in google.requests) == [150, 150, 150]
    assert [item.index for item in response.results] == [449, 448, 447]


def test_a_list_that_may_not_be_split_is_refused(google, make_either):
    """Before it is sent."""
    client = make_either(TOKEN, base_url=address(google), pointwise=False)
    with pytest.raises(InvalidRequestError, match="at most 200 documents in one request, got 201"):
        client.rerank(model="m", query="q", documents=documents(201))
    assert not google.requests


@pytest.mark.parametrize("argument", ["max_tokens_per_doc", "priority", "relevant_spans"])
def test_arguments_that_google_does_not_have_are_refused(google, make_either, argument):
    """They would be ignored."""
    value = {"mode": "enabled"} if argument == "relevant_spans" else 5
    with pytest.raises(InvalidRequestError, match=f"{argument} is not supported"):
        make_either(TOKEN, base_url=address(google)).rerank(**{**CALL, argument: value})


def test_a_function_makes_a_token_for_each_request(google):
    """Also an asynchronous one."""
    tokens = iter(["first-token-0123456789", "second-token-0123456789", "third-token-0123456789"])
    with ClientV2(lambda: next(tokens), base_url=address(google)) as client:
        for _ in range(2):
            client.rerank(**{**CALL, "documents": ["1"]})

    async def make():
        return next(tokens)

    async def main():
        async with AsyncClientV2(make, base_url=address(google)) as client:
            await client.rerank(**{**CALL, "documents": ["1"]})

    asyncio.run(main())
    sent = [request.header("authorization") for request in google.requests]
    assert sent == [f"Bearer {name}-token-0123456789" for name in ("first", "second", "third")]
    assert {request.header("x-goog-user-project") for request in google.requests} == {"my-project"}


def test_another_project_may_be_billed(google, make_either):
    """By a header of the caller."""
    client = make_either(TOKEN, base_url=address(google), headers={"X-Goog-User-Project": "other"})
    client.rerank(**{**CALL, "documents": ["1"]})
    assert google.requests[-1].header("x-goog-user-project") == "other"


def test_a_client_without_a_token_says_so(monkeypatch):
    """A key of Cohere is never sent to Google."""
    monkeypatch.setenv("CO_API_KEY", "cohere-key-0123456789")
    with pytest.raises(MissingApiKeyError, match=r"google\.auth"):
        ClientV2(base_url="vertex:my-project")


def error(status, name, message):
    return reply(status, json={"error": {"code": status, "message": message, "status": name}})


def test_errors_have_the_class_of_their_status_and_googles_message(google, make_either):
    """A limit of a minute is no used-up quota. The token is not shown."""
    google.script(
        error(400, "INVALID_ARGUMENT", f"bad token {TOKEN}"),
        error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'"),
    )
    client = make_either(TOKEN, base_url=address(google), max_retries=0)
    with pytest.raises(BadRequestError, match="bad token") as bad:
        client.rerank(**CALL)
    assert TOKEN not in str(bad.value) + str(bad.value.body)
    with pytest.raises(TooManyRequestsError) as limited:
        client.rerank(**CALL)
    assert not isinstance(limited.value, QuotaExceededError)


@pytest.mark.parametrize(
    "records", [[{"id": "7", "score": 1}], [{"id": "x", "score": 1}], [{"score": 1}], [5], [{"id": 0}], "none"]
)
def test_a_reply_that_breaks_the_contract_is_an_error(google, make_either, records):
    """Never a wrong order."""
    google.script(reply(json={"records": records}))
    with pytest.raises(InvalidResponseError):
        make_either(TOKEN, base_url=address(google)).rerank(**{**CALL, "documents": ["1"]})


@pytest.mark.parametrize(
    "wrong", ["vertex:A b", "vertex:https://host/v1/projects/p", "vertex:https://user:pw@host" + CONFIG]
)
def test_addresses_that_are_not_valid_are_refused(wrong):
    """With the forms that are allowed."""
    with pytest.raises(InvalidRequestError) as refused:
        ClientV2(TOKEN, base_url=wrong)
    assert "vertex:" in str(refused.value)
    assert "pw" not in str(refused.value)


OFFICIAL = """
import sys

from google.cloud import discoveryengine_v1 as discovery
from google.cloud.discoveryengine_v1.services.rank_service.transports import RankServiceRestTransport
from google.oauth2.credentials import Credentials

host, token = sys.argv[1:] if len(sys.argv) > 1 else (HOST, TOKEN)
transport = RankServiceRestTransport(
    host=host, url_scheme="http", credentials=Credentials(token, quota_project_id="my-project")
)
client = discovery.RankServiceClient(transport=transport)
response = client.rank(discovery.RankRequest(
    ranking_config=client.ranking_config_path("my-project", "global", "default_ranking_config"),
    model="semantic-ranker-default@latest",
    query="q",
    records=[discovery.RankingRecord(id=str(i), content=text) for i, text in enumerate(["0", "0.5", "0.25"])],
    top_n=3,
    ignore_record_details_in_response=True,
))
print([(record.id, record.score) for record in response.records])
"""


@pytest.mark.slow
def test_googles_own_client_sends_the_same_request(google, make_client):
    """The path, the body and the headers that matter. It also accepts the replies of this test's server."""
    environment = environments.get("google-cloud-discoveryengine")
    host = google.url.removeprefix("http://")
    printed = environment.run_code(f"HOST, TOKEN = {host!r}, {TOKEN!r}\n{OFFICIAL}", timeout_s=120)
    assert printed.strip() == "[('1', 0.5), ('2', 0.25), ('0', 0.0)]"
    theirs = google.requests[-1]
    make_client(TOKEN, base_url=address(google)).rerank(
        model="semantic-ranker-default@latest", query="q", documents=["0", "0.5", "0.25"], top_n=3
    )
    ours = google.requests[-1]
    assert ours.path == theirs.path.partition("?")[0]
    assert ours.json == json.loads(theirs.body)
    for name in ("authorization", "x-goog-user-project", "content-type"):
        assert ours.header(name) == theirs.header(name)


def test_copies_share_a_limit_if_a_function_returns_the_token(google, clock):
    """A second function is another key."""
    options = {"base_url": address(google), "limit": RateLimit(requests=2, period_s=60.0), "clock": clock}
    with ClientV2(lambda: TOKEN, **options) as client, ClientV2(lambda: TOKEN, **options) as other:
        for caller in (client, client.with_options(timeout=5).with_options(timeout=6), other):
            caller.rerank(**{**CALL, "documents": documents(2)})
        assert clock.sleeps == []
        client.rerank(**{**CALL, "documents": documents(2)})
    assert sum(clock.sleeps) > 0
