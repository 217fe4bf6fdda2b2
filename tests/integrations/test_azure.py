"""Azure: the URL of each kind of endpoint, its headers, and tokens of the real azure-identity.

The forms are those of Azure's documentation. No call to Azure is made.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from urllib.parse import unquote

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, events
from cohere_rerank.errors import InvalidRequestError, MissingApiKeyError, UnauthorizedError
from tests.fake_server import Server, reply

KEY = "4zur3-key-0123456789abcdef"
CALL = {"model": "Cohere-rerank-v4.0-pro", "query": "q", "documents": ["a", "b"], "top_n": 1}


@pytest.fixture(autouse=True)
def no_login(monkeypatch):
    """Hide the settings of this machine."""
    for name in ("AZURE_INFERENCE_CREDENTIAL", "AZURE_AI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def azure(server):
    """A server that accepts every path, as a gateway of Azure does."""
    results = [{"index": 1, "relevance_score": 0.5}]
    server.default = reply(json={"id": "r", "results": results, "meta": {"billed_units": {"search_units": 1}}})
    return server


def sent(server):
    """The last request: its path, and the headers that authenticate it."""
    request = server.requests[-1]
    names = ("api-key", "authorization")
    return request.path, {name: request.header(name) for name in names if request.header(name)}


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("azure:my-resource", "https://my-resource.services.ai.azure.com/providers/cohere/v2/rerank"),
        ("azure:https://x.example", "https://x.example/providers/cohere/v2/rerank"),
        ("azure:https://x.example/providers/cohere/", "https://x.example/providers/cohere/v2/rerank"),
        ("azure:https://n.eastus2.models.ai.azure.com", "https://n.eastus2.models.ai.azure.com/v2/rerank"),
        ("azure:https://n.eastus2.models.ai.azure.com/v1/rerank", "https://n.eastus2.models.ai.azure.com/v1/rerank"),
        ("azure:https://x.example/team/rerank", "https://x.example/team/rerank"),
    ],
)
def test_each_kind_of_endpoint_has_its_url(address, url):
    """Foundry by the name of its resource, and all others by their URL."""
    config = ClientV2(KEY, base_url=address)._config
    assert config.cloud.dialect.url(config.base_url, {}) == url


def test_a_key_is_sent_to_foundry_in_its_own_header(azure, make_either):
    """The body is that of v2, and the response that of Cohere."""
    response = make_either(KEY, base_url=f"azure:{azure.url}").rerank(**CALL)
    assert sent(azure) == ("/providers/cohere/v2/rerank", {"api-key": KEY})
    assert azure.requests[-1].json == CALL
    assert (response.results[0].index, response.meta.billed_units.search_units) == (1, 1.0)
    assert response.score_scale == "unit"


def test_the_path_of_v1_gets_the_form_of_v1(azure, make_either):
    """Arguments that v1 does not have are refused."""
    client = make_either(KEY, base_url=f"azure:{azure.url}/v1/rerank")
    client.rerank(**CALL)
    assert sent(azure)[0] == "/v1/rerank"
    assert azure.requests[-1].json == {**CALL, "return_documents": False}
    with pytest.raises(InvalidRequestError, match="max_tokens_per_doc is not supported"):
        client.rerank(**CALL, max_tokens_per_doc=5)


def test_a_serverless_endpoint_gets_a_bearer_token():
    """Its documentation has no header api-key."""
    foundry, serverless = (
        ClientV2(KEY, base_url=address)._config.api_key
        for address in ("azure:my-resource", "azure:https://n.eastus2.models.ai.azure.com")
    )
    assert (foundry.is_signer, serverless.is_signer) == (True, False)


def test_a_copy_for_another_kind_of_endpoint_sends_the_key_in_its_form():
    """A token of Entra is asked for with the scope of that endpoint."""
    foundry, serverless = "azure:my-resource", "azure:https://n.eastus2.models.ai.azure.com"
    moved = ClientV2(KEY, base_url=foundry).with_options(base_url=serverless)
    assert (moved._config.api_key.is_signer, moved._config.api_key.value) == (False, KEY)
    back = moved.with_options(base_url=foundry)._config.api_key
    assert back.sign("POST", "", {}, b"") == {"api-key": KEY}
    pytest.importorskip("azure.identity")
    client = ClientV2(base_url=foundry)
    assert client.with_options(base_url=serverless)._config.api_key.value.scope == "https://ml.azure.com/.default"
    assert client.with_options(timeout=5)._config.api_key.value is client._config.api_key.value


def test_the_version_of_the_api_is_a_parameter(azure, make_either):
    """Of every request."""
    client = make_either(KEY, base_url=f"azure:{azure.url}", params={"api-version": "2024-05-01-preview"})
    client.rerank(**CALL)
    assert sent(azure)[0] == "/providers/cohere/v2/rerank?api-version=2024-05-01-preview"


def test_several_keys_take_turns_in_the_same_header(azure, make_either):
    """A 429 moves the request to the next key."""
    azure.script(reply(429))
    make_either([KEY, "another-key-0123456789"], base_url=f"azure:{azure.url}").rerank(**CALL)
    assert [request.header("api-key") for request in azure.requests] == [KEY, "another-key-0123456789"]


@pytest.mark.parametrize("name", ["AZURE_INFERENCE_CREDENTIAL", "AZURE_AI_API_KEY"])
def test_the_key_of_the_environment_is_azures_and_never_coheres(azure, monkeypatch, name):
    """A key of one vendor is never sent to another."""
    monkeypatch.setenv("CO_API_KEY", "cohere-key-0123456789")
    monkeypatch.setenv(name, KEY)
    with ClientV2(base_url=f"azure:{azure.url}") as client:
        client.rerank(**CALL)
    assert sent(azure)[1] == {"api-key": KEY}


def test_a_client_without_a_key_and_without_azure_identity_says_what_to_do(monkeypatch):
    """CO_API_KEY does not help."""
    monkeypatch.setenv("CO_API_KEY", "cohere-key-0123456789")
    monkeypatch.setattr("cohere_rerank.integrations.azure._has_identity", lambda: False)
    with pytest.raises(MissingApiKeyError, match=r"or install .*\[azure\].* by DefaultAzureCredential$"):
        ClientV2(base_url="azure:my-resource")


def test_no_error_repr_or_pickle_shows_a_key(azure, make_client):
    """Also if the server repeats it."""
    azure.default = reply(401, json={"error": {"code": "401", "message": f"the key {KEY} is wrong"}})
    client = make_client(KEY, base_url=f"azure:{azure.url}")
    with pytest.raises(UnauthorizedError, match="check api_key, or AZURE_INFERENCE_CREDENTIAL in") as refused:
        client.rerank(**CALL)
    shown = f"{refused.value!r} {refused.value.body} {client!r} {client._config!r} {client._config.api_key!r}"
    assert "is wrong" in shown
    assert KEY not in shown
    assert KEY.encode() not in pickle.dumps(client)


def test_limits_and_events_know_the_address(azure, make_client):
    """It has no secret. The response names the host."""
    seen = []
    client = make_client(KEY, base_url=f"azure:{azure.url}", on_event=seen.append, limit="production")
    assert client.rerank(**CALL).answered_by == azure.url.removeprefix("http://")
    assert next(event.address for event in seen if isinstance(event, events.RequestEvent)) == f"azure:{azure.url}"


@pytest.mark.parametrize("address", ["azure:a_b", "azure:-a", "azure:ftp://host", "azure:https://user:pw@host"])
def test_addresses_that_are_not_valid_are_refused(address):
    """With the forms that are allowed, and without a password."""
    with pytest.raises(InvalidRequestError) as refused:
        ClientV2(KEY, base_url=address)
    assert "azure:" in str(refused.value)
    assert "pw" not in str(refused.value)


# Microsoft Entra ID -----------------------------------------------------------------------------


class FixedCredential:
    """A credential of the kind that azure-identity has, with a new token for each request for one."""

    def __init__(self):
        self.scopes = []

    def get_token(self, *scopes, **_):
        from azure.core.credentials import AccessToken

        self.scopes += scopes
        return AccessToken(f"entra-token-{len(self.scopes)}", int(time.time()) + 3600)


class AsyncFixedCredential(FixedCredential):
    """The same for azure.identity.aio."""

    async def get_token(self, *scopes, **options):
        return FixedCredential.get_token(self, *scopes, **options)


def test_a_token_provider_of_azure_identity_is_a_key(azure):
    """It keeps a token until it expires."""
    identity = pytest.importorskip("azure.identity")
    credential = FixedCredential()
    provider = identity.get_bearer_token_provider(credential, "https://cognitiveservices.azure.com/.default")
    with ClientV2(provider, base_url=f"azure:{azure.url}") as client:
        for _ in range(2):
            client.rerank(**CALL)
    assert sent(azure)[1] == {"authorization": "Bearer entra-token-1"}
    assert credential.scopes == ["https://cognitiveservices.azure.com/.default"]


def test_an_asynchronous_token_provider_is_a_key_of_the_asynchronous_client(azure):
    """Its token is awaited."""
    aio = pytest.importorskip("azure.identity.aio")
    provider = aio.get_bearer_token_provider(AsyncFixedCredential(), "scope")

    async def main():
        async with AsyncClientV2(provider, base_url=f"azure:{azure.url}") as client:
            await client.rerank(**CALL)

    asyncio.run(main())
    assert sent(azure)[1] == {"authorization": "Bearer entra-token-1"}


@pytest.fixture
def identity_server(monkeypatch):
    """The identity endpoint of an App Service, which DefaultAzureCredential finds by two variables."""
    pytest.importorskip("azure.identity")
    with Server() as server:
        expires = int(time.time()) + 86_400
        server.default = reply(json={"access_token": "managed-token", "expires_on": expires, "token_type": "Bearer"})
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_a_client_without_a_key_uses_the_identity_of_the_machine(azure, identity_server, make_either):
    """The token is asked for once, with the scope of Foundry."""
    client = make_either(None, base_url=f"azure:{azure.url}")
    for _ in range(2):
        client.rerank(**CALL)
    assert sent(azure)[1] == {"authorization": "Bearer managed-token"}
    assert len(identity_server.requests) == 1
    assert "resource=https://cognitiveservices.azure.com" in unquote(identity_server.requests[0].path)


def test_a_login_that_azure_refuses_is_a_missing_key(azure, identity_server, make_either):
    """One sentence that says what to do, instead of the list of all that was tried."""
    identity_server.default = reply(400, json={"error": "invalid_request"})
    with pytest.raises(MissingApiKeyError, match="found no login that Azure accepts: run az login"):
        make_either(None, base_url=f"azure:{azure.url}").rerank(**CALL)
    assert not azure.requests


def test_a_pickled_client_finds_its_identity_anew(azure, identity_server):
    """The pickle has no token."""
    with ClientV2(base_url=f"azure:{azure.url}") as client:
        client.rerank(**CALL)
        pickled = pickle.dumps(client)
    assert b"managed-token" not in pickled
    with pickle.loads(pickled) as copy:
        copy.rerank(**CALL)
    assert len(identity_server.requests) == 2
