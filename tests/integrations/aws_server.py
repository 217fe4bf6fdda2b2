"""A server with the three APIs of AWS that rerank. It checks each request as AWS does, with botocore's own signer."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cohere_rerank.testing.replies import reply
from cohere_rerank.testing.wire import Exchange, Reply, Request
from tests.fake_server import Server, respond

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE/token+with=signs"
BEARER = "bedrock-api-key-EXAMPLE"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), "
    r"Signature=([0-9a-f]{64})"
)


def problem_with_signature(request: Request, region: str, service: str, secret_key: str = SECRET_KEY) -> str | None:
    """What is wrong with the signature of a request: recomputed by botocore from what arrived. None if it is right."""
    found = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
    if found is None:
        return "no signature"
    access_key, day, its_region, its_service, names, signature = found.groups()
    if (access_key, its_region, its_service) != (ACCESS_KEY, region, service):
        return f"signed for {access_key} {its_region} {its_service}"
    signed = {name: request.header(name) or "" for name in names.split(";")}
    if not {"host", "x-amz-date"} <= signed.keys() or signed["x-amz-date"][:8] != day:
        return "host or date is not signed"
    if request.header("x-amz-security-token") and "x-amz-security-token" not in signed:
        return "the session token is not signed"
    aws = AWSRequest(request.method, f"http://{signed['host']}{request.path}", signed, request.body)
    aws.context["timestamp"] = signed["x-amz-date"]
    signer = SigV4Auth(Credentials(access_key, secret_key), service, region)
    expected = signer.signature(signer.string_to_sign(aws, signer.canonical_request(aws)), aws)
    return None if signature == expected else "the signature does not match"


class AwsServer(Server):
    """All three APIs at one address.

    Attributes:
        region: The region of the signatures that it accepts.
        n_per_page: The number of results in a reply of Bedrock's Rerank.
        headers: Further headers of good replies.
    """

    def __init__(self, region: str = "us-east-1") -> None:
        super().__init__()
        self.region = region
        self.n_per_page = 1000
        self.headers = {"X-Amzn-RequestId": "aws-request-1", "X-Amzn-Bedrock-Input-Token-Count": "42"}
        self.default = self._answer

    async def _answer(self, exchange: Exchange) -> None:
        await self._reply(exchange.request)(exchange)

    def _reply(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        service = "sagemaker" if path.startswith("/endpoints/") else "bedrock"
        problem: str | None
        if path.startswith("/model/") and request.header("authorization") == f"Bearer {BEARER}":
            problem = None
        else:
            problem = problem_with_signature(request, self.region, service)
        if problem is not None:
            return aws_error(403, "InvalidSignatureException", problem)
        if path == "/rerank":
            return reply(json=self._reranked(request.json), headers={"X-Amzn-RequestId": "aws-request-1"})
        found = re.fullmatch(r"/(?:model/([^/]+)/invoke|endpoints/([^/]+)/invocations)", path)
        if found is None:
            return aws_error(404, "UnknownOperationException", "")
        body = request.json
        if body.pop("api_version", None) != 2 or "model" in body:
            return aws_error(400, "ValidationException", "Malformed input request: #/api_version")
        status, data = respond(_dump({**body, "model": unquote(found[1] or found[2])}))
        if status != 200:
            return aws_error(status, "ValidationException", data["message"])
        return reply(json={"id": data["id"], "results": data["results"]}, headers=self.headers)

    def _reranked(self, body: dict[str, Any]) -> dict[str, Any]:
        configuration = body["rerankingConfiguration"]["bedrockRerankingConfiguration"]
        documents = [source["inlineDocumentSource"]["textDocument"]["text"] for source in body["sources"]]
        query = body["queries"][0]["textQuery"]["text"]
        n = configuration["numberOfResults"]
        assert len(documents) <= 1000
        assert 1 <= n <= len(documents)
        assert max(map(len, [query, *documents])) <= 32_000
        _, data = respond(_dump({"model": "m", "query": query, "documents": documents, "top_n": n}))
        ranked = [{"index": item["index"], "relevanceScore": item["relevance_score"]} for item in data["results"]]
        start = int(body.get("nextToken", "0"))
        page = {"results": ranked[start : start + self.n_per_page]}
        end = start + self.n_per_page
        return page if end >= len(ranked) else {**page, "nextToken": str(end)}


def aws_error(status: int, kind: str, message: str, **headers: str) -> Reply:
    """An error in the form of AWS: its type in a header, and its message in the body."""
    named = {"x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/coral/com.amazon/", **headers}
    return reply(status, json={"message": message}, headers={**named, "x-amzn-RequestId": "aws-request-2"})


def _dump(body: dict[str, Any]) -> bytes:
    import json

    return json.dumps(body).encode()
