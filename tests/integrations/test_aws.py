"""The clients for AWS against a server that checks requests as AWS does, with botocore's own signer and its client.

Nothing here has called AWS.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import pickle
import subprocess
import sys
from contextlib import closing, contextmanager
from types import SimpleNamespace

import botocore.config
import botocore.session
import httpx
import pytest
from botocore.credentials import Credentials

import cohere_rerank
from cohere_rerank import AsyncClientV2, Client, ClientV2, Hedge, RateLimit, ScoreCache, errors
from cohere_rerank.integrations.aws import (
    AsyncBedrockClientV2,
    AsyncSagemakerClientV2,
    AwsClientOptions,
    BedrockClientV2,
    SagemakerClientV2,
)
from cohere_rerank.testing.replies import reply
from tests.conftest import AsyncAdapter, SyncAdapter
from tests.fake_server import score
from tests.integrations.aws_server import (
    ACCESS_KEY,
    BEARER,
    SECRET_KEY,
    TOKEN,
    AwsServer,
    aws_error,
    problem_with_signature,
)

MODEL = "cohere.rerank-v3-5:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.cohere.rerank-v3-5:0"
QUERY = "which bird cannot fly"
DOCUMENTS = ["a penguin", "a swallow", "un train à vapeur"]
CALL = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS}
BEST_FIRST = sorted(range(3), key=lambda index: -score(QUERY, DOCUMENTS[index]))
SCHEMES = ["bedrock", "bedrock-agent", "sagemaker"]
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_SESSION_TOKEN": TOKEN}
ENDPOINTS = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME"]


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch, tmp_path):
    """No configuration of this machine, and no request for the metadata of an instance."""
    others = ["AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
    for name in (*KEYS, *ENDPOINTS, *others, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def keys(monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def aws():
    with AwsServer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def make(request, aws, keys):
    """``make(scheme, **options)``: an adapter of either client, for the server."""
    made = []

    def build(scheme="bedrock", **options):
        name = "an-endpoint?region=us-east-1&" if scheme == "sagemaker" else "us-east-1?"
        options = {"base_url": f"{scheme}:{name}endpoint={aws.url}", **options}
        is_sync = request.param == "sync"
        made.append(SyncAdapter(ClientV2(**options)) if is_sync else AsyncAdapter(AsyncClientV2(**options)))
        return made[-1]

    yield build
    for client in made:
        client.close()


def ranking(response):
    return [item.index for item in response.results]


# Requests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_address_answers(make, aws, scheme):
    """Signed requests, sorted results of the caller's documents, and the id of the request."""
    response = make(scheme).rerank(**CALL)
    assert ranking(response) == BEST_FIRST
    assert response.results[0].document == DOCUMENTS[BEST_FIRST[0]]
    assert response.score_scale == "unit"
    assert response.request_id == "aws-request-1"
    assert response.answered_by.startswith(f"{scheme}:")
    assert len(aws.requests) == 1


@contextmanager
def sdk(service, url):
    """The client of AWS's own SDK, with the same keys."""
    session = botocore.session.Session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY, TOKEN)
    config = botocore.config.Config(retries={"max_attempts": 0})
    client = session.create_client(service, region_name="us-east-1", endpoint_url=url, config=config)
    try:
        yield client
    finally:
        client.close()


def signed_headers(request):
    """The names of the headers that the signature covers, without those that only the SDK sends."""
    names = request.header("authorization").partition("SignedHeaders=")[2].partition(",")[0].split(";")
    return {name for name in names if not name.startswith(("amz-sdk", "x-amz-user-agent"))} - {"accept"}


@pytest.mark.parametrize("model", [MODEL, ARN, "a b/ü:0"])
def test_invoke_is_the_request_of_the_sdk(make, aws, model):
    """Method, path, content type and signed headers of Bedrock's InvokeModel are those of botocore."""
    make().rerank(**{**CALL, "model": model}, top_n=2, max_tokens_per_doc=100)
    ours = aws.requests[-1]
    body = {"query": QUERY, "documents": DOCUMENTS, "top_n": 2, "max_tokens_per_doc": 100, "api_version": 2}
    assert ours.json == body
    with sdk("bedrock-runtime", aws.url) as client:
        client.invoke_model(modelId=model, body=ours.body, contentType="application/json")
    theirs = aws.requests[-1]
    assert (ours.method, ours.path, ours.body) == (theirs.method, theirs.path, theirs.body)
    assert ours.header("content-type") == theirs.header("content-type")
    assert signed_headers(ours) == signed_headers(theirs)


def test_sagemaker_is_the_request_of_the_sdk(make, aws):
    """As above, for InvokeEndpoint."""
    make("sagemaker").rerank(**CALL)
    ours = aws.requests[-1]
    with sdk("sagemaker-runtime", aws.url) as client:
        client.invoke_endpoint(EndpointName="an-endpoint", Body=ours.body, ContentType="application/json")
    theirs = aws.requests[-1]
    assert (ours.method, ours.path, ours.body) == (theirs.method, theirs.path, theirs.body)
    assert signed_headers(ours) == signed_headers(theirs)


@pytest.mark.parametrize("model", [MODEL, "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0"])
def test_agent_is_the_request_of_the_sdk(make, aws, model):
    """The body of Bedrock's Rerank is the one that botocore writes from the same values, checked by its model."""
    make("bedrock-agent").rerank(**{**CALL, "model": model}, top_n=2, max_tokens_per_doc=100)
    ours = aws.requests[-1]
    arn = model if model.startswith("arn:") else f"arn:aws:bedrock:us-east-1::foundation-model/{model}"
    configuration = {"modelArn": arn, "additionalModelRequestFields": {"max_tokens_per_doc": 100}}
    with sdk("bedrock-agent-runtime", aws.url) as client:
        client.rerank(
            queries=[{"type": "TEXT", "textQuery": {"text": QUERY}}],
            sources=[
                {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
                for text in DOCUMENTS
            ],
            rerankingConfiguration={
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {"numberOfResults": 2, "modelConfiguration": configuration},
            },
        )
    theirs = aws.requests[-1]
    assert (ours.method, ours.path, ours.json) == (theirs.method, theirs.path, theirs.json)
    assert signed_headers(ours) == signed_headers(theirs)


class BotoSession:
    """The part of boto3's session that the official client uses, on botocore."""

    def __init__(self, region_name, aws_access_key_id, aws_secret_access_key, aws_session_token):
        self.region_name = region_name
        self._credentials = Credentials(aws_access_key_id, aws_secret_access_key, aws_session_token)

    def get_credentials(self):
        return self._credentials


@pytest.mark.parametrize(
    ("kind", "official", "model"),
    [(BedrockClientV2, "BedrockClientV2", MODEL), (SagemakerClientV2, "SagemakerClientV2", "an-endpoint")],
)
def test_results_are_those_of_the_official_client(aws, kind, official, model, monkeypatch):
    """The same arguments give the same body, results and token counts, for a model whose id needs no care."""
    import cohere

    monkeypatch.setitem(sys.modules, "boto3", SimpleNamespace(Session=BotoSession))
    arguments = {"aws_access_key": ACCESS_KEY, "aws_secret_key": SECRET_KEY, "aws_session_token": TOKEN}
    call = {**CALL, "model": model, "top_n": 2}
    with kind(**arguments, aws_region="us-east-1", endpoint_url=aws.url, timeout=5) as client:
        ours = client.rerank(**call)
    monkeypatch.setattr("cohere.aws_client.get_url", lambda **_: aws.url + aws.requests[0].path)
    with getattr(cohere, official)(**arguments, aws_region="us-east-1", timeout=5) as client:
        theirs = client.rerank(**call)
    assert [(item.index, item.relevance_score) for item in ours.results] == [
        (item.index, item.relevance_score) for item in theirs.results
    ]
    assert ours.meta.tokens.input_tokens == theirs.meta.tokens.input_tokens == 42
    assert aws.requests[0].json == aws.requests[1].json


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("bedrock:us-east-1", "bedrock-runtime.us-east-1.amazonaws.com"),
        ("bedrock:cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("bedrock-agent:eusc-de-east-1", "bedrock-agent-runtime.eusc-de-east-1.amazonaws.eu"),
        ("sagemaker:e?region=us-gov-west-1", "runtime.sagemaker.us-gov-west-1.amazonaws.com"),
    ],
)
def test_the_host_is_that_of_the_region(keys, address, host):
    """As botocore resolves it, also outside the usual partition."""
    dialect = ClientV2(base_url=address)._config.cloud.dialect
    assert dialect.url(address, {"model": MODEL}).startswith(f"https://{host}/")
    service = {"bedrock": "bedrock-runtime", "bedrock-agent": "bedrock-agent-runtime"}.get(
        address.partition(":")[0], "sagemaker-runtime"
    )
    region = address.rpartition("=")[2].rpartition(":")[2]
    session = botocore.session.Session()
    client = session.create_client(service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
    with closing(client):
        assert client.meta.endpoint_url == f"https://{host}"


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
def test_the_endpoint_of_the_environment_is_used(aws, keys, monkeypatch, variable):
    """The variables of all AWS SDKs, for VPC endpoints and tests."""
    monkeypatch.setenv(variable, aws.url)
    with ClientV2(base_url="bedrock:us-east-1") as client:
        assert ranking(client.rerank(**CALL)) == BEST_FIRST


def test_every_attempt_has_its_own_signature(make, aws):
    """A retry is signed anew, and so is each part of a split list."""
    aws.script(aws_error(503, "ServiceUnavailableException", "busy"))
    client = make(retry_policy=cohere_rerank.RetryPolicy(wait_initial_s=0.001))
    client.rerank(**CALL, max_documents_per_request=1)
    assert len(aws.requests) == 4
    assert all(problem_with_signature(request, "us-east-1", "bedrock") is None for request in aws.requests)
    assert len({request.header("authorization") for request in aws.requests}) >= 3  # by body


def test_requests_through_httpx_are_signed(aws, keys):
    """With a client of httpx that the caller passes, with parameters of its own."""
    with httpx.Client(params={"b": "2 3", "a": "ü"}) as own:
        client = ClientV2(base_url=f"bedrock:us-east-1?endpoint={aws.url}", httpx_client=own)
        assert ranking(client.rerank(**CALL)) == BEST_FIRST

    async def run():
        async with httpx.AsyncClient() as other:
            client = AsyncClientV2(base_url=f"bedrock:us-east-1?endpoint={aws.url}", httpx_client=other)
            return await client.rerank(**{**CALL, "model": ARN})

    assert ranking(asyncio.run(run())) == BEST_FIRST
    assert aws.requests[-1].path == f"/model/{ARN.replace(':', '%3A').replace('/', '%2F')}/invoke"


# Credentials ------------------------------------------------------------------------------------


def test_a_bedrock_api_key_needs_no_signature(aws, monkeypatch):
    """From AWS_BEARER_TOKEN_BEDROCK, or as api_key."""
    address = f"bedrock:us-east-1?endpoint={aws.url}"
    with ClientV2(BEARER, base_url=address) as client:
        assert ranking(client.rerank(**CALL)) == BEST_FIRST
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", BEARER)
    with ClientV2(base_url=address) as client:
        client.rerank(**CALL)
        client.rerank(**{**CALL, "model": "another.model"})
    assert {request.header("authorization") for request in aws.requests} == {f"Bearer {BEARER}"}
    assert [request.path for request in aws.requests[-2:]] == [
        "/model/cohere.rerank-v3-5%3A0/invoke",
        "/model/another.model/invoke",
    ]


def test_an_empty_key_sends_no_authentication(aws):
    """For a gateway that signs requests itself. No credentials are looked for."""
    with ClientV2("", base_url=f"bedrock:us-east-1?endpoint={aws.url}") as client:
        with pytest.raises(errors.UnauthorizedError, match="no signature"):
            client.rerank(**CALL)
    assert aws.requests[0].header("authorization") is None


@pytest.mark.parametrize("kind", [BedrockClientV2, AsyncBedrockClientV2, SagemakerClientV2, AsyncSagemakerClientV2])
def test_the_official_arguments_are_accepted(aws, kind, monkeypatch):
    """Keys, token, region and timeout; the model of SageMaker is the name of the endpoint."""
    monkeypatch.setenv("CO_API_KEY", "a-key-of-cohere")
    client = kind(
        aws_access_key=ACCESS_KEY,
        aws_secret_key=SECRET_KEY,
        aws_session_token=TOKEN,
        aws_region="us-east-1",
        timeout=10,
        endpoint_url=aws.url,
    )
    adapter = AsyncAdapter(client) if kind.__name__.startswith("Async") else SyncAdapter(client)
    assert ranking(adapter.rerank(**{**CALL, "model": "my-endpoint"})) == BEST_FIRST
    adapter.close()
    assert aws.requests[0].path in ("/model/my-endpoint/invoke", "/endpoints/my-endpoint/invocations")
    assert aws.requests[0].header("x-amz-security-token") == TOKEN


PROFILE = f"""
[default]
aws_access_key_id = {ACCESS_KEY}
aws_secret_access_key = {SECRET_KEY}
aws_session_token = {TOKEN}
[profile other]
region = us-east-1
credential_process = {sys.executable} -c "print(open(r'FILE').read())"
"""


def test_a_profile_brings_credentials_and_a_region(make, aws, keys, monkeypatch, tmp_path):
    """botocore reads the files of AWS; in a thread for an AsyncClientV2."""
    for name in KEYS:
        monkeypatch.delenv(name)
    (tmp_path / "AWS_CONFIG_FILE").write_text(PROFILE.replace("FILE", str(tmp_path / "process")))
    (tmp_path / "process").write_text(
        json.dumps({"Version": 1, "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "SessionToken": TOKEN})
    )
    assert ranking(make().rerank(**CALL)) == BEST_FIRST
    client = make(base_url=f"bedrock:?profile=other&endpoint={aws.url}")
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert client.client._config.base_url.startswith("bedrock:us-east-1?")
    with pytest.raises(errors.InvalidRequestError, match="profile"):
        make(base_url=f"bedrock:us-east-1?profile=missing&endpoint={aws.url}").rerank(**CALL)


def test_credentials_that_expire_are_refreshed(make, aws, keys, monkeypatch, tmp_path):
    """Before each request, if botocore says that they need it."""
    for name in KEYS:
        monkeypatch.delenv(name)
    (tmp_path / "AWS_CONFIG_FILE").write_text(PROFILE.replace("FILE", str(tmp_path / "process")))
    found = {"Version": 1, "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "SessionToken": "first"}
    (tmp_path / "process").write_text(json.dumps({**found, "Expiration": "2099-01-01T00:00:00Z"}))
    client = make(base_url=f"bedrock:us-east-1?profile=other&endpoint={aws.url}")
    client.rerank(**CALL)
    source = client.client._config.api_key.value
    assert source.known() is not None
    import datetime

    source._session[0]._expiry_time = datetime.datetime.now(datetime.timezone.utc)
    assert source.known() is None
    (tmp_path / "process").write_text(
        json.dumps({**found, "SessionToken": "second", "Expiration": "2099-01-01T00:00:00Z"})
    )
    client.rerank(**CALL)
    assert [request.header("x-amz-security-token") for request in aws.requests] == ["first", "second"]


def test_missing_credentials_are_explained(make, keys, monkeypatch):
    """The error names the variables, and the extra if botocore is not installed."""
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(errors.MissingApiKeyError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        make().rerank(**CALL)
    monkeypatch.setattr("cohere_rerank.integrations.aws.credentials.find_spec", lambda name: None)
    with pytest.raises(errors.MissingApiKeyError, match=r"AWS_BEARER_TOKEN_BEDROCK.*cohere-rerank\[aws\]"):
        make()


@pytest.mark.parametrize(
    ("make_client", "message"),
    [
        (lambda: ClientV2(base_url="bedrock:"), "no AWS region"),
        (lambda: ClientV2(base_url="bedrock:us east"), "must look like us-east-1"),
        (lambda: ClientV2(base_url="bedrock:us-east-1?region=x"), "without region="),
        (lambda: ClientV2(base_url="bedrock:us-east-1?key=x"), "option 'key'"),
        (lambda: ClientV2(base_url="bedrock:us-east-1?endpoint=host"), "endpoint must look like"),
        (lambda: ClientV2(base_url="bedrock:us-east-1?endpoint=local:"), "endpoint must look like"),
        (lambda: ClientV2(base_url="bedrock:us-east-1?endpoint=azure:x"), "endpoint must look like"),
        (lambda: ClientV2(base_url="sagemaker:a/b?region=us-east-1"), "name of the SageMaker endpoint"),
        (lambda: ClientV2("key", base_url="bedrock-agent:us-east-1"), "signed requests only"),
        (lambda: ClientV2(base_url="bedrock:us-east-1", dialect="v1"), "dialect has no effect"),
        (lambda: Client(base_url="bedrock:us-east-1"), "in place of a v1 client"),
        (lambda: BedrockClientV2(aws_access_key="a", aws_region="us-east-1"), "aws_secret_key is missing"),
        (lambda: BedrockClientV2(aws_access_key="a", aws_secret_key="b", api_key="c"), "mutually exclusive"),
    ],
)
def test_settings_are_checked(keys, make_client, message):
    """Before anything is sent."""
    with pytest.raises(errors.InvalidRequestError, match=message):
        make_client()


def test_a_copy_for_another_region_keeps_the_keys(aws):
    """And signs for that region. A copy for Cohere's API does not get them."""
    client = BedrockClientV2(aws_access_key=ACCESS_KEY, aws_secret_key=SECRET_KEY, aws_region="us-east-1")
    aws.region = "eu-central-1"
    copy = client.with_options(base_url=f"bedrock:eu-central-1?endpoint={aws.url}", max_retries=0)
    assert ranking(copy.rerank(**CALL)) == BEST_FIRST
    with pytest.raises(errors.MissingApiKeyError):
        client.with_options(base_url="https://api.cohere.com")
    copy.close()


# Replies and errors -----------------------------------------------------------------------------


def test_token_counts_come_from_the_headers(make, aws):
    """Unknown counts are None. The official client writes -1 there."""
    meta = make().rerank(**CALL).meta
    assert (meta.tokens.input_tokens, meta.billed_units.input_tokens, meta.tokens.output_tokens) == (42, 42, None)
    aws.headers = {}
    assert make().rerank(**CALL).meta is None
    assert make("bedrock-agent").rerank(**CALL).meta.tokens is None


def test_counts_in_a_body_of_another_form_are_left_out(make, aws):
    """The headers have them."""
    results = [{"index": 0, "relevance_score": 0.5}]
    body = {"results": results, "meta": {"tokens": 5, "billed_units": [1]}}
    aws.default = reply(json=body, headers={"x-amzn-bedrock-input-token-count": "7"})
    meta = make().rerank(**{**CALL, "top_n": 1}).meta
    assert (meta.tokens.input_tokens, meta.billed_units.input_tokens) == (7.0, 7.0)


ERRORS = [
    (429, "ThrottlingException", "Too many requests, please wait", errors.TooManyRequestsError, 429),
    (429, "ThrottlingException", "Too many tokens per day, please wait", errors.QuotaExceededError, 429),
    (429, "ModelNotReadyException", "not ready", errors.TooManyRequestsError, 429),
    (400, "ThrottlingException", "Rate exceeded", errors.TooManyRequestsError, 429),
    (400, "ServiceQuotaExceededException", "quota", errors.QuotaExceededError, 400),
    (400, "ValidationException", "Malformed input request", errors.BadRequestError, 400),
    (403, "AccessDeniedException", "You don't have access to the model", errors.ForbiddenError, 403),
    (403, "ExpiredTokenException", "The security token is expired", errors.UnauthorizedError, 403),
    (403, "UnrecognizedClientException", "The security token is invalid", errors.UnauthorizedError, 403),
    (404, "ResourceNotFoundException", "Could not resolve the model", errors.NotFoundError, 404),
    (408, "ModelTimeoutException", "too long", errors.RequestTimeoutError, 408),
    (424, "ModelErrorException", "failed", errors.ApiError, 424),
    (500, "InternalServerException", "failed", errors.InternalServerError, 500),
    (503, "ServiceUnavailableException", "busy", errors.ServiceUnavailableError, 503),
]


@pytest.mark.parametrize(("status", "kind", "message", "error", "expected"), ERRORS)
def test_errors_have_our_classes(make, aws, status, kind, message, error, expected):
    """The type of AWS decides, and the message has both."""
    aws.default = aws_error(status, kind, message)
    with pytest.raises(errors.ApiError) as caught:
        make(max_retries=0).rerank(**CALL)
    assert type(caught.value) is error
    assert caught.value.status_code == expected
    assert f"{kind}: {message}" in str(caught.value)
    assert caught.value.request_id == "aws-request-2"


@pytest.mark.parametrize("kind", ["UnrecognizedClientException", "SomethingNew"])
def test_a_401_names_the_credentials_of_aws(make, aws, kind):
    """The key of Cohere plays no part."""
    aws.default = aws_error(401, kind, "no")
    with pytest.raises(errors.UnauthorizedError) as refused:
        make().rerank(**CALL)
    assert f"answered 401: {kind}: no; check the AWS credentials, and that they" in str(refused.value)
    assert "CO_API_KEY" not in str(refused.value)


def test_a_401_of_the_model_in_an_endpoint_names_no_key(make, aws):
    """What the model accepts is not known."""
    body = {"Message": "refused", "OriginalStatusCode": 401}
    aws.default = reply(424, json=body, headers={"x-amzn-ErrorType": "ModelError"})
    with pytest.raises(errors.UnauthorizedError) as refused:
        make("sagemaker").rerank(**CALL)
    assert refused.value.message == "The API answered 401: ModelError: refused"


@pytest.mark.parametrize("kind", ["ThrottlingException", "ModelNotReadyException"])
def test_throttling_and_models_that_are_not_ready_are_retried(make, aws, kind, clock):
    """With backoff; a model that is not ready is waited for beyond the number of retries."""
    n = 6 if kind == "ModelNotReadyException" else 2
    aws.script(*[aws_error(429, kind, "wait")] * n)
    response = make(clock=clock).rerank(**CALL)
    assert ranking(response) == BEST_FIRST
    assert len(aws.requests) == n + 1
    assert clock.sleeps


@pytest.mark.parametrize(("offset_s", "direction"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_wrong_clock_is_named(make, aws, offset_s, direction):
    """AWS refuses signatures of another time, and its reply has the right one."""
    import time
    from email.utils import formatdate

    date = formatdate(time.time() + offset_s, usegmt=True)
    aws.default = aws_error(403, "InvalidSignatureException", "Signature expired: ...", Date=date)
    with pytest.raises(errors.UnauthorizedError, match=rf"clock of this machine is 3[56]\d\d s {direction} AWS's"):
        make().rerank(**CALL)


def test_an_error_of_the_model_in_an_endpoint_has_its_status(make, aws):
    """SageMaker answers 424 for every error of the container."""
    body = {"ErrorCode": "CLIENT_ERROR_FROM_MODEL", "Message": "Received client error (400) from primary"}
    headers = {"x-amzn-ErrorType": "ModelError"}
    aws.default = reply(424, json={**body, "OriginalStatusCode": 400, "OriginalMessage": "bad"}, headers=headers)
    with pytest.raises(errors.BadRequestError, match="ModelError: Received client error"):
        make("sagemaker").rerank(**CALL)


# Features ---------------------------------------------------------------------------------------


def test_long_lists_are_split_for_bedrock_agent(make, aws):
    """At 1,000 sources; the results are those of one list."""
    documents = [f"document {index}" for index in range(2500)]
    response = make("bedrock-agent").rerank(model=MODEL, query=QUERY, documents=documents, top_n=5)
    assert sorted(len(request.json["sources"]) for request in aws.requests) == [833, 833, 834]
    assert ranking(response) == sorted(range(2500), key=lambda index: -score(QUERY, documents[index]))[:5]


def test_pages_are_followed(make, aws):
    """Each nextToken gives the next results, signed anew; hedge= has no effect there."""
    aws.n_per_page = 2
    client = make("bedrock-agent", hedge=Hedge())
    documents = [f"document {index}" for index in range(7)]
    response = client.rerank(model=MODEL, query=QUERY, documents=documents)
    assert ranking(response) == sorted(range(7), key=lambda index: -score(QUERY, documents[index]))
    assert [request.json.get("nextToken") for request in aws.requests] == [None, "2", "4", "6"]


def test_pages_without_an_end_are_not_followed_for_ever(make, aws):
    """A server that repeats its results gets a bounded number of requests."""
    page = {"results": [{"index": 0, "relevanceScore": 0.5}], "nextToken": "again"}
    aws.default = reply(json=page)
    with pytest.raises(errors.InvalidResponseError, match="twice"):
        make("bedrock-agent").rerank(**CALL)
    assert len(aws.requests) == 51


def test_long_texts_are_shortened_for_bedrock_agent(make, aws):
    """With a warning. The documents of the results are whole."""
    documents = ["x" * 40_000, "short"]
    with pytest.warns(UserWarning, match="1 texts are longer than 32,000 characters"):
        response = make("bedrock-agent").rerank(model=MODEL, query=QUERY, documents=documents)
    sent = [source["inlineDocumentSource"]["textDocument"]["text"] for source in aws.requests[0].json["sources"]]
    assert sent == ["x" * 32_000, "short"]
    assert {item.document for item in response.results} == set(documents)


@pytest.mark.parametrize("argument", [{"priority": 1}, {"relevant_spans": {"mode": "enabled"}}])
def test_bedrock_agent_refuses_what_it_cannot_do(make, aws, argument):
    """Nothing is sent."""
    with pytest.raises(errors.InvalidRequestError, match="not supported by Bedrock's Rerank"):
        make("bedrock-agent").rerank(**CALL, **argument)
    assert aws.requests == []


def test_lists_are_split_by_bytes_for_sagemaker(make, aws):
    """A request has at most 6,291,456 bytes."""
    documents = [f"{index} " + "ü" * 500_000 for index in range(8)]
    response = make("sagemaker").rerank(model="m", query=QUERY, documents=documents)
    assert len(aws.requests) == 2
    assert max(len(request.body) for request in aws.requests) <= 6_291_456
    assert len(response.results) == 8


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cache_answers_for_one_target_only(make, aws, scheme):
    """Not for another region, and its entries do not depend on the keys."""
    cache = ScoreCache()
    client = make(scheme, cache=cache)
    client.rerank(**CALL)
    assert client.rerank(**CALL).answered_by == "cache"
    assert len(aws.requests) == 1
    aws.region = "eu-west-1"
    name = "an-endpoint?region=eu-west-1&" if scheme == "sagemaker" else "eu-west-1?"
    make(scheme, base_url=f"{scheme}:{name}endpoint={aws.url}", cache=cache).rerank(**CALL)
    assert len(aws.requests) == 2


def test_limits_and_hedges_work(make, aws, clock):
    """The limit delays the third request, with the clock of the client."""
    client = make(clock=clock, limit=RateLimit(requests=2, period_s=60.0), hedge=Hedge(), deadline=600.0)
    for _ in range(3):
        client.rerank(**CALL)
    assert sum(clock.sleeps) > 30
    assert len(aws.requests) == 3


def test_a_deadline_and_a_fallback_work(make, aws):
    """An outage of AWS is answered by the local engine; a missing permission is not."""
    aws.default = aws_error(503, "ServiceUnavailableException", "busy")
    client = make(fallback="local", max_retries=0, deadline=30.0)
    assert client.rerank(**CALL).is_fallback
    aws.default = aws_error(403, "AccessDeniedException", "no access")
    with pytest.raises(errors.ForbiddenError, match="bedrock:InvokeModel"):
        client.rerank(**CALL)


def test_a_batch_works(aws, keys):
    """With the models of the rows in their paths; a refused key stops it."""
    rows = [{**CALL, "model": f"model-{index % 3}"} for index in range(12)]
    with ClientV2(base_url=f"bedrock:us-east-1?endpoint={aws.url}") as client:
        assert [ranking(response) for _, response in client.rerank_many(rows)] == [BEST_FIRST] * 12
        assert {request.path for request in aws.requests} == {f"/model/model-{n}/invoke" for n in range(3)}
        aws.default = aws_error(403, "ExpiredTokenException", "expired")
        with pytest.raises(errors.UnauthorizedError):
            list(client.rerank_many(rows))


# Secrets ----------------------------------------------------------------------------------------


def test_no_secret_is_shown(make, aws, caplog):
    """Neither the secret key nor the session token, in an error that quotes them, an event, a log or a repr."""
    caplog.set_level(logging.DEBUG)
    seen = []
    client = make(on_event=seen.append, max_retries=0)
    aws.default = aws_error(403, "InvalidSignatureException", f"key {SECRET_KEY} token {TOKEN} of {ACCESS_KEY}")
    with pytest.raises(errors.UnauthorizedError) as caught:
        client.rerank(**CALL)
    error, config = caught.value, client.client._config
    texts = [str(error), repr(error), repr(error.body), repr(error.headers), pickle.dumps(error).decode("latin-1")]
    texts += [caplog.text, repr(seen), repr(client.client), repr(config), repr(config.api_key), repr(vars(config))]
    texts += [pickle.dumps(client.client).decode("latin-1")]
    aws.default = aws_error(403, "InvalidSignatureException", "no")  # a frame may have the reply, and here it is clean
    with pytest.raises(errors.UnauthorizedError) as caught:
        client.rerank(**CALL)
    trace = caught.value.__traceback__
    while trace is not None:
        texts += [
            f"{name}={value!r}"
            for name, value in trace.tb_frame.f_locals.items()
            if "cohere" in trace.tb_frame.f_code.co_filename
        ]
        trace = trace.tb_next
    for secret in (SECRET_KEY, TOKEN, TOKEN.split("/")[0]):
        assert not [text for text in texts if secret in text]


def test_a_pickled_client_takes_the_keys_of_its_new_process(aws, monkeypatch):
    """Those of the constructor are left out."""
    client = BedrockClientV2(
        aws_access_key=ACCESS_KEY, aws_secret_key=SECRET_KEY, aws_region="us-east-1", endpoint_url=aws.url
    )
    data = pickle.dumps(client)
    monkeypatch.setattr("cohere_rerank.integrations.aws.credentials.find_spec", lambda name: None)
    with pytest.raises(errors.MissingApiKeyError, match="AWS_ACCESS_KEY_ID"):
        pickle.loads(data).rerank(**CALL)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with pickle.loads(data) as loaded:
        assert isinstance(loaded, BedrockClientV2)
        assert ranking(loaded.rerank(**CALL)) == BEST_FIRST


# Imports ----------------------------------------------------------------------------------------


def test_nothing_of_aws_is_imported_before_it_is_used(aws):
    """Neither by the package nor by a client of Cohere's API; a signed call does without botocore and httpx."""
    code = f"""
import sys
import cohere_rerank
cohere_rerank.ClientV2("k")
assert not [name for name in sys.modules if "aws" in name], "too early"
client = cohere_rerank.BedrockClientV2(aws_access_key={ACCESS_KEY!r}, aws_secret_key={SECRET_KEY!r},
    aws_region="us-east-1", endpoint_url={aws.url!r})
client.rerank(model={MODEL!r}, query="tea", documents=["tea", "coffee"])
print(*({{"botocore", "httpx", "pydantic", "asyncio"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


def test_the_classes_are_exported_as_in_the_official_package():
    """The official names, and their asynchronous twins."""
    for name in ("BedrockClientV2", "SagemakerClientV2", "AsyncBedrockClientV2", "AsyncSagemakerClientV2"):
        assert getattr(cohere_rerank, name).__name__ == name
        assert name in cohere_rerank.__all__


# Programs ---------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch):
    """``run("rank", ...)`` runs the command line, with a key of Cohere in its environment that must not be sent."""
    from click.testing import CliRunner

    from cohere_rerank.cli._program import program

    return lambda *args: CliRunner().invoke(program, args, env={"CO_API_KEY": "a-key-of-cohere"})


def test_the_command_line_takes_the_addresses(aws, keys, run, tmp_path):
    """For rank and every other command with --base-url; the key of Cohere stays here."""
    address = f"bedrock:us-east-1?endpoint={aws.url}"
    file = tmp_path / "documents.txt"
    file.write_text("\n".join(DOCUMENTS), encoding="utf-8")
    done = run("rank", QUERY, str(file), "--base-url", address, "--model", MODEL, "--json")
    assert done.exit_code == 0, done.output
    assert aws.requests[0].json["query"] == QUERY
    assert "a-key-of-cohere" not in repr(aws.requests)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_doctor_checks_an_address(aws, keys, run, scheme):
    """With one request. It says which permission is missing."""
    address = {"sagemaker": "sagemaker:an-endpoint?region=us-east-1&"}.get(scheme, f"{scheme}:us-east-1?")
    done = run("doctor", f"{address}endpoint={aws.url}", "--model", MODEL)
    assert done.exit_code == 0, done.output
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["ok", n] for n in ("address", "key", "latency")]
    assert len(aws.requests) == 1
    aws.default = aws_error(403, "AccessDeniedException", "no access")
    done = run("doctor", f"{address}endpoint={aws.url}", "--model", MODEL)
    assert done.exit_code == 1
    assert "fail  key" in done.stdout
    assert ":Invoke" in done.stdout


def test_the_command_line_names_missing_credentials(run, monkeypatch, tmp_path):
    """Those of AWS, not a key of Cohere."""
    monkeypatch.setattr("cohere_rerank.integrations.aws.credentials.find_spec", lambda name: None)
    (tmp_path / "a.txt").write_text("tea")
    address = "bedrock:us-east-1"
    for code, command in (
        (1, ["doctor", address]),
        (2, ["rank", "tea", str(tmp_path / "a.txt"), "--base-url", address]),
    ):
        done = run(*command)
        assert done.exit_code == code
        assert "No AWS credentials" in done.output
        assert "CO_API_KEY" not in done.output


def test_a_server_does_not_send_the_key_of_cohere_to_aws(aws, keys, monkeypatch):
    """`serve --upstream bedrock:...` uses the credentials of AWS."""
    from cohere_rerank.server import ServerSettings
    from cohere_rerank.server.executor import BoundedExecutor
    from cohere_rerank.server.metrics import Metrics
    from cohere_rerank.server.upstream import UpstreamBackend

    monkeypatch.setenv("CO_API_KEY", "a-key-of-cohere")
    settings = ServerSettings(upstream=f"bedrock:us-east-1?endpoint={aws.url}")
    backend = UpstreamBackend(settings, BoundedExecutor(1, 1, lambda *_: None), Metrics())
    assert ranking(asyncio.run(backend._client.rerank(**CALL))) == BEST_FIRST


def test_the_clients_for_aws_take_every_setting_that_does_not_name_another_api():
    """Type checkers accept budgets, prices, telemetry and all other settings of ClientV2 for AWS too."""
    settings = set(inspect.signature(ClientV2).parameters)
    settings -= {"api_key", "timeout", "base_url", "rerank_url", "environment", "dialect", "scorer"}
    settings -= {"thread_pool_executor", "log_warning_experimental_features"}  # without effect
    assert AwsClientOptions.__annotations__.keys() - {"endpoint_url", "profile_name"} == settings
