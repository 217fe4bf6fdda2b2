"""Oracle Cloud: rerankText as Oracle documents it, and the signature of the docs. No call to OCI is made."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest

from cohere_rerank import AsyncClientV2, ClientV2
from cohere_rerank.errors import InvalidRequestError, UnauthorizedError
from tests.fake_server import reply

COMPARTMENT = "ocid1.compartment.oc1..aaaaexample"
CALL = {"model": "cohere.rerank-v3.5", "query": "q", "documents": ["a", "b"]}
PAGE = Path(__file__).parents[2] / "docs" / "servers" / "google-oracle.md"


@pytest.fixture
def oracle(server):
    """A server that answers as OCI does."""
    ranks = [{"index": 1, "relevanceScore": 0.9}, {"index": 0, "relevanceScore": 0.1}]
    server.default = reply(json={"id": "r", "modelId": "m", "modelVersion": "1", "documentRanks": ranks})
    return server


def address(server):
    return f"oci:{server.url}/{COMPARTMENT}"


def test_a_region_has_its_address():
    """No key is needed to make a client."""
    config = ClientV2(base_url=f"oci:us-chicago-1/{COMPARTMENT}")._config
    assert config.cloud.dialect.url(config.base_url, {}) == (
        "https://inference.generativeai.us-chicago-1.oci.oraclecloud.com/20231130/actions/rerankText"
    )


def test_a_call_is_a_rerank_text_request(oracle, make_either):
    """Of a model on demand. A key of Cohere in the environment is not sent."""
    client = make_either(None, base_url=address(oracle))
    response = client.rerank(**CALL, top_n=2, max_tokens_per_doc=300)
    request = oracle.requests[-1]
    assert request.path == "/20231130/actions/rerankText"
    assert request.header("authorization") is None
    assert request.json == {
        "input": "q",
        "documents": ["a", "b"],
        "compartmentId": COMPARTMENT,
        "servingMode": {"servingType": "ON_DEMAND", "modelId": "cohere.rerank-v3.5"},
        "topN": 2,
        "maxTokensPerDocument": 300,
        "isEcho": False,
    }
    assert [(item.index, item.relevance_score) for item in response.results] == [(1, 0.9), (0, 0.1)]
    assert response.id == "r"


def test_the_ocid_of_an_endpoint_is_a_dedicated_model(oracle, make_either):
    """It is recognized by its start."""
    endpoint = "ocid1.generativeaiendpoint.oc1.us-chicago-1.aaaa"
    make_either(None, base_url=address(oracle)).rerank(**{**CALL, "model": endpoint})
    assert oracle.requests[-1].json["servingMode"] == {"servingType": "DEDICATED", "endpointId": endpoint}


def test_a_refused_signature_names_what_to_check(oracle, make_either):
    """CO_API_KEY has nothing to do with it."""
    oracle.script(reply(401, json={"code": "NotAuthenticated", "message": "The required information is missing"}))
    with pytest.raises(UnauthorizedError, match="required information is missing; check the key and the fingerprint"):
        make_either(None, base_url=address(oracle)).rerank(**CALL)


@pytest.mark.parametrize("argument", ["priority", "relevant_spans"])
def test_arguments_that_oci_does_not_have_are_refused(oracle, make_either, argument):
    """They would be ignored."""
    value = {"mode": "enabled"} if argument == "relevant_spans" else 5
    with pytest.raises(InvalidRequestError, match=f"{argument} is not supported"):
        make_either(None, base_url=address(oracle)).rerank(**{**CALL, argument: value})


@pytest.mark.parametrize(
    "wrong", ["oci:us-chicago-1", "oci:US/ocid1.compartment.oc1..aaaa", "oci:us-chicago-1/ocid1.user.oc1..aaaa"]
)
def test_addresses_that_are_not_valid_are_refused(wrong):
    """With the form that is allowed."""
    with pytest.raises(InvalidRequestError, match="oci:REGION/COMPARTMENT"):
        ClientV2("", base_url=wrong)


def auth_of_the_docs(pem):
    """The class on the page, run as it stands."""
    source = re.search(r"```python\n(import base64\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert source is not None
    names: dict[str, type] = {}
    exec(source[1], names)
    return names["OciAuth"]("ocid1.tenancy.oc1..t", "ocid1.user.oc1..u", "aa:bb", pem)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_signature_of_the_docs_is_right(oracle, kind):
    """It is verified as draft-cavage-http-signatures-08 says, from what arrived, with the public key."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.PKCS8
    auth = auth_of_the_docs(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    if kind == "sync":
        with ClientV2(base_url=address(oracle), httpx_client=httpx.Client(auth=auth)) as client:
            client.rerank(**CALL)
    else:

        async def main():
            async with AsyncClientV2(base_url=address(oracle), httpx_client=httpx.AsyncClient(auth=auth)) as client:
                await client.rerank(**CALL)

        asyncio.run(main())
    request = oracle.requests[-1]
    fields = dict(re.findall(r'(\w+)="([^"]*)"', request.header("authorization")))
    assert fields["keyId"] == "ocid1.tenancy.oc1..t/ocid1.user.oc1..u/aa:bb"
    assert (fields["version"], fields["algorithm"]) == ("1", "rsa-sha256")
    # What Oracle requires for a POST.
    names = fields["headers"].split()
    assert {"date", "(request-target)", "host", "content-length", "content-type", "x-content-sha256"} == set(names)
    digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    assert request.header("x-content-sha256") == digest
    lines = [f"{name}: {f'post {request.path}' if name[0] == '(' else request.header(name)}" for name in names]
    signature = base64.b64decode(fields["signature"])
    key.public_key().verify(signature, "\n".join(lines).encode(), padding.PKCS1v15(), hashes.SHA256())
