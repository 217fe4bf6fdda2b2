"""The requests and replies of the three APIs of AWS that rerank. Pure, apart from the time in errors.

Sources: the service models of botocore 1.44 (bedrock-runtime, bedrock-agent-runtime, sagemaker-runtime), and the code
of the official client for what Cohere's models expect in a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic_core import from_json, to_json

from cohere_rerank._wire.cloud import reject_fields
from cohere_rerank._wire.dialects import BaseDialect, to_v2_reply

from .errors import aws_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cohere_rerank.errors import ApiError

MAX_SOURCES = 1_000
"""Documents in one request of Bedrock's Rerank."""

MAX_TEXT_CHARS = 32_000
"""Characters of the query and of each document in a request of Bedrock's Rerank."""

_MAX_PAGES = 50
_TOKENS = (("x-amzn-bedrock-input-token-count", "input_tokens"), ("x-amzn-bedrock-output-token-count", "output_tokens"))
_AGENT_FIELDS = ("model", "query", "documents", "top_n")


class _AwsDialect(BaseDialect):
    action = ""

    def error(self, status: int, headers: Mapping[str, str], body: Any) -> ApiError:
        """Return the error for a reply of AWS."""
        return aws_error(status, headers, body, self.action)


class InvokeDialect(_AwsDialect):
    """Bedrock's InvokeModel: a body of v2 for the model that the path names. Token counts come in headers.

    Args:
        endpoint: The base of the URL.
    """

    name = "bedrock"
    action = "bedrock:InvokeModel"
    has_model_in_url = True

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a v2 body without the model."""
        return {**{name: value for name, value in body.items() if name != "model"}, "api_version": 2}

    def url(self, address: str, body: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return the URL of requests to the model of the body: its id or its ARN, encoded completely."""
        return f"{self._endpoint}/model/{quote(body['model'], safe='')}/invoke"

    def to_v2(self, content: bytes, headers: Mapping[str, str], top_n: int | None) -> bytes:  # noqa: ARG002
        """Return the reply with the token counts of its headers."""
        counts = {name: int(headers[header]) for header, name in _TOKENS if headers.get(header, "").isdecimal()}
        reply = from_json(content) if counts else None
        if not isinstance(reply, dict):
            return content
        meta = reply["meta"] if isinstance(reply.get("meta"), dict) else {}
        for group in ("tokens", "billed_units"):
            stated = meta.get(group)
            meta = {**meta, group: {**counts, **(stated if isinstance(stated, dict) else {})}}
        return to_json({**reply, "meta": meta})


class SagemakerDialect(InvokeDialect):
    """SageMaker's InvokeEndpoint: as Bedrock, for an endpoint.

    Args:
        endpoint: The base of the URL.
        name: The name of the SageMaker endpoint. "": the model of a call names it, as with the official client.
    """

    name = "sagemaker"
    action = "sagemaker:InvokeEndpoint"

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__(endpoint)
        self._name = name
        self.has_model_in_url = not name

    def url(self, address: str, body: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return the URL of the endpoint."""
        return f"{self._endpoint}/endpoints/{quote(self._name or body['model'], safe='')}/invocations"


class AgentDialect(_AwsDialect):
    """Bedrock's Rerank, which ranks with a reranker of any vendor.

    Args:
        endpoint: The base of the URL.
        arn_prefix: What comes before the id of a model in its ARN.
        token: The ``nextToken`` of the reply before, for a later page.
        earlier: The results of the pages before.
        n_pages: The number of pages before.
    """

    name = "bedrock-agent"
    action = "bedrock:Rerank and bedrock:InvokeModel"
    has_pages = True

    def __init__(
        self,
        endpoint: str,
        arn_prefix: str,
        token: str | None = None,
        earlier: tuple[Any, ...] = (),
        n_pages: int = 0,
    ) -> None:
        self._endpoint = endpoint
        self._arn_prefix = arn_prefix
        self._token = token
        self._earlier = earlier
        self._n_pages = n_pages

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request for a v2 body. Fields that Rerank does not have go to the model.

        Raises:
            InvalidRequestError: The call asks for what Rerank cannot return or do.
        """
        advice = "leave it out, or use the address bedrock:REGION"
        reject_fields(body, ("relevant_spans", "priority"), "Bedrock's Rerank", advice)
        model = body["model"]
        configuration: dict[str, Any] = {"modelArn": model if ":" in model[:4] else self._arn_prefix + model}
        further = {name: value for name, value in body.items() if name not in _AGENT_FIELDS}
        if further:
            configuration["additionalModelRequestFields"] = further
        n = len(body["documents"])
        request: dict[str, Any] = {
            "queries": [{"type": "TEXT", "textQuery": {"text": body["query"][:MAX_TEXT_CHARS]}}],
            "sources": [_source(document) for document in body["documents"]],
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": configuration,
                    "numberOfResults": min(body.get("top_n", n), n),  # more than there are sources is an error
                },
            },
        }
        return request if self._token is None else {**request, "nextToken": self._token}

    def url(self, address: str, body: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return the URL of Rerank."""
        return f"{self._endpoint}/rerank"

    def to_v2(self, content: bytes, headers: Mapping[str, str], top_n: int | None) -> bytes:  # noqa: ARG002
        """Return the results of this page and of those before."""
        reply = from_json(content)
        if self._earlier and isinstance(reply, dict) and isinstance(reply.get("results"), list):
            content = to_json({**reply, "results": [*self._earlier, *reply["results"]]})
        return to_v2_reply(content, self, top_n)

    def next_page(self, content: bytes) -> AgentDialect | None:
        """Return the dialect of the next page. There are at most 50, and each must have results."""
        try:
            reply = from_json(content)
        except ValueError:
            return None  # decoding raises the better error
        results = reply.get("results") if isinstance(reply, dict) else None
        token = reply.get("nextToken") if isinstance(reply, dict) else None
        if not results or not isinstance(results, list) or not isinstance(token, str) or self._n_pages >= _MAX_PAGES:
            return None
        if len(self._earlier) + len(results) > MAX_SOURCES:
            return None
        return AgentDialect(self._endpoint, self._arn_prefix, token, (*self._earlier, *results), self._n_pages + 1)


def _source(document: Any) -> dict[str, Any]:
    """Return a document as a source. The client has turned structured documents into texts."""
    if isinstance(document, str):
        inline = {"type": "TEXT", "textDocument": {"text": document[:MAX_TEXT_CHARS]}}
    else:  # of additional_body_parameters
        inline = {"type": "JSON", "jsonDocument": document}
    return {"type": "INLINE", "inlineDocumentSource": inline}
