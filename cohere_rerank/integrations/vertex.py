"""The ranking API of Google Cloud (Vertex AI Search): ``base_url="vertex:PROJECT"``. It has Google's models only.

``api_key=`` is an access token, or a function that returns one, such as a few lines around google-auth.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from cohere_rerank._addresses import checked_base_url
from cohere_rerank._settings import Secret, SecretList, Signer, secret_from_callable
from cohere_rerank._validators import describe_address
from cohere_rerank._wire.cloud import Cloud, FixedUrlDialect, reject_fields
from cohere_rerank.errors import InvalidRequestError, MissingApiKeyError

__all__ = ["cloud"]

MAX_RECORDS = 200  # of the reference of RankRequest: "At most 200 records to rank"
_HOST = "https://discoveryengine.googleapis.com"
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]{2,62}", re.ASCII)
_CONFIG = re.compile(r"/v1[a-z0-9]*/projects/([^/]+)/locations/[^/]+/rankingConfigs/[^/:]+:rank", re.ASCII)
_UNSUPPORTED = ("max_tokens_per_doc", "priority", "relevant_spans")
_USER_PROJECT = "x-goog-user-project"


def cloud(address: str) -> VertexCloud:
    """Return the cloud behind ``vertex:PROJECT``, or behind ``vertex:`` with the full URL of a ranking config.

    Raises:
        InvalidRequestError: It is neither.
    """
    target = address.partition(":")[2]
    if _PROJECT.fullmatch(target):
        path = f"/v1/projects/{target}/locations/global/rankingConfigs/default_ranking_config:rank"
        return VertexCloud(address, VertexDialect(_HOST + path), target)
    if target.lower().startswith(("https://", "http://")):
        scheme, _, rest = target.partition("://")
        host, mark, path = rest.partition("/")
        found = _CONFIG.fullmatch(mark + path)
        if found is not None:
            checked_base_url(f"{scheme}://{host}", "the URL after vertex:")
            return VertexCloud(address, VertexDialect(target), found[1])
    raise InvalidRequestError(
        "base_url must look like vertex:PROJECT or vertex:https://host/v1/projects/PROJECT/locations/global/"
        f"rankingConfigs/default_ranking_config:rank, got {describe_address(address)}"
    )


class VertexDialect(FixedUrlDialect):
    """The form of the ranking API. Only ids and scores are asked for, because results refer to the caller's texts."""

    name = "vertex"
    key_hint = "check the access token, which may have expired"

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a v2 body as a RankRequest. The id of a record is its index."""
        reject_fields(body, _UNSUPPORTED, "Google's ranking API")
        known = {"model", "query", "documents", "top_n"}
        texts = body["documents"]
        if len(texts) > MAX_RECORDS:
            raise InvalidRequestError(
                f"Google's ranking API takes at most {MAX_RECORDS} documents in one request, got {len(texts)}; leave "
                "out pointwise=False and max_documents_per_request, so that the list is split"
            )
        return {
            **{name: value for name, value in body.items() if name not in known},
            "model": body["model"],
            "query": body["query"],
            "records": [{"id": str(index), "content": text} for index, text in enumerate(texts)],
            **({"topN": body["top_n"]} if "top_n" in body else {}),
            "ignoreRecordDetailsInResponse": True,
        }

    def to_v2(self, content: bytes, headers: Mapping[str, str], top_n: int | None) -> bytes:  # noqa: ARG002
        """Return a RankResponse in the form of v2. Its JSON leaves out a score of 0."""
        reply = from_json(content)
        records = reply.get("records") if isinstance(reply, dict) else None
        if not isinstance(records, list):
            return content
        return to_json({"results": [_result(record) for record in records]})


def _result(record: Any) -> dict[str, Any]:
    index = record.get("id") if isinstance(record, dict) else None
    if not isinstance(index, str) or not index.isdecimal() or len(index) > 9:
        return {"index": index}  # validation will fail, and its message names the place
    return {"index": int(index), "relevance_score": record.get("score", 0.0)}


class VertexCloud(Cloud):
    """The ranking API of a project.

    Args:
        address: The complete address.
        dialect: The form of requests, and the URL.
        project: The project that is billed.
    """

    max_documents = MAX_RECORDS

    def __init__(self, address: str, dialect: VertexDialect, project: str) -> None:
        super().__init__(address, dialect)
        self._project = project

    def find_key(self, given: Secret | SecretList | None) -> Secret | SecretList | None:
        """Return the caller's token, or a function that makes one for each request."""
        if given is None:
            raise self.missing_key_error()
        if isinstance(given, SecretList):
            given.secrets = tuple(map(self._as_sent, given.secrets))
            return given
        return self._as_sent(given)

    def missing_key_error(self) -> MissingApiKeyError:
        """Return the error for a client that has no token."""
        return MissingApiKeyError(
            body="No token for Google Cloud: pass api_key= with an access token, or a function that returns one, such "
            "as one around google.auth.default()"
        )

    def _as_sent(self, key: Secret) -> Secret:
        if isinstance(key.value, str):
            return GoogleToken(key.value, self._project) if key.value else key
        source = key.value.source if isinstance(key.value, GoogleTokens) else key.value  # a copy passes our object
        return Secret(GoogleTokens(source, self._project))


class GoogleToken(Signer):
    """An access token, which is sent with the project that is billed."""

    __slots__ = ("_project",)

    def __init__(self, value: str, project: str) -> None:
        super().__init__(value, "the access token")
        self._project = project

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:  # noqa: ARG002
        """Return the headers. A caller may bill another project by a header of its own."""
        return {"authorization": f"Bearer {self.value}", _USER_PROJECT: headers.get(_USER_PROJECT, self._project)}


class GoogleTokens:
    """A function of the caller that returns a token, also an asynchronous one.

    Args:
        source: The function.
        project: The project that is billed.
    """

    def __init__(self, source: Any, project: str) -> None:
        self.source = source
        self._project = project

    def __eq__(self, other: object) -> bool:  # clients with the same tokens share a limit
        return isinstance(other, GoogleTokens) and (self.source, self._project) == (other.source, other._project)

    def __hash__(self) -> int:
        return hash((self._project, self.source if isinstance(self.source, Hashable) else id(self.source)))

    def __call__(self) -> Any:
        """Return a token, or a coroutine that returns one."""
        made = self.source()
        return self._later(made) if hasattr(made, "__await__") else self._token(made)

    async def _later(self, made: Any) -> GoogleToken:
        return self._token(await made)

    def _token(self, made: Any) -> GoogleToken:
        return GoogleToken(str(secret_from_callable(made).value), self._project)
