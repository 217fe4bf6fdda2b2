"""The addresses ``bedrock:``, ``bedrock-agent:`` and ``sagemaker:``: regions, endpoints, limits and credentials."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from cohere_rerank._addresses import checked_base_url
from cohere_rerank._settings import Secret, SecretList
from cohere_rerank._validators import describe_address
from cohere_rerank._wire.cloud import Cloud
from cohere_rerank.errors import InvalidRequestError

from .credentials import (
    BEARER_VARIABLE,
    AwsKeys,
    BotocoreSource,
    find_credentials,
    missing_credentials,
    region_of_profile,
)
from .dialects import MAX_SOURCES, MAX_TEXT_CHARS, AgentDialect, InvokeDialect, SagemakerDialect
from .signing import Scope

if TYPE_CHECKING:
    from cohere_rerank._wire.call import Call
    from cohere_rerank._wire.dialects import BaseDialect
    from cohere_rerank.errors import MissingApiKeyError

_OPTIONS = ("endpoint", "profile", "region")
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,12}){1,4}", re.ASCII)
_ENDPOINT_NAME = re.compile(r"[A-Za-z0-9](?:-*[A-Za-z0-9]){0,62}", re.ASCII)
# By the start of a region: its partition in ARNs, and the domain of its hosts. Others need an endpoint.
_PARTITIONS = {"cn-": ("aws-cn", "amazonaws.com.cn"), "us-gov-": ("aws-us-gov", "amazonaws.com")}
_PARTITIONS["eusc-"] = ("aws-eusc", "amazonaws.eu")
_DEFAULT_PARTITION = ("aws", "amazonaws.com")
# By scheme: the start of the host, the service in signatures, and the end of the variable with another endpoint.
_SERVICES = {
    "bedrock": ("bedrock-runtime", "bedrock", "BEDROCK_RUNTIME"),
    "bedrock-agent": ("bedrock-agent-runtime", "bedrock", "BEDROCK_AGENT_RUNTIME"),
    "sagemaker": ("runtime.sagemaker", "sagemaker", "SAGEMAKER_RUNTIME"),
}
# Of the service models of botocore. A body is a little shorter than the v2 body whose size counts, or a little longer.
_MARGIN_BYTES = 1_024
_MAX_BYTES = {"bedrock": 25_000_000 - _MARGIN_BYTES, "sagemaker": 6_291_456 - _MARGIN_BYTES}


def cloud(address: str) -> AwsCloud:
    """Return the cloud behind an address of AWS.

    ``bedrock:REGION``, ``bedrock-agent:REGION`` and ``sagemaker:ENDPOINT`` may be followed by options: ``?region=``,
    ``&endpoint=`` (a URL) and ``&profile=``. A region that is not given comes from AWS_REGION, AWS_DEFAULT_REGION, or
    the profile.

    Raises:
        InvalidRequestError: A part of the address is not valid, or no region is known.
    """
    scheme, _, rest = address.partition(":")
    name, _, query = rest.partition("?")
    options = _checked_options(query, address)
    profile = options.get("profile")
    if scheme == "sagemaker":
        if name and not _ENDPOINT_NAME.fullmatch(name):
            raise InvalidRequestError(f"the name of the SageMaker endpoint is not valid, got {describe_address(name)}")
        region = _region(options.get("region"), profile, "sagemaker:ENDPOINT?region=us-east-1")
    elif "region" in options:
        raise InvalidRequestError(f"write the region as {scheme}:REGION, without region=")
    else:
        region = name = _region(name, profile, f"{scheme}:us-east-1")
    host, service, variable = _SERVICES[scheme]
    partition, domain = next(
        (value for start, value in _PARTITIONS.items() if region.startswith(start)), _DEFAULT_PARTITION
    )
    other = options.get("endpoint") or _endpoint_of_environment(variable)
    endpoint = f"https://{host}.{region}.{domain}" if other is None else checked_base_url(other, "endpoint").rstrip("/")
    kept = {"region": region if scheme == "sagemaker" else None, "endpoint": other, "profile": profile}
    pairs = [f"{option}={quote(value, safe=':/')}" for option, value in kept.items() if value is not None]
    full = f"{scheme}:{name}" + ("?" + "&".join(pairs) if pairs else "")
    dialect: BaseDialect
    if scheme == "bedrock":
        dialect = InvokeDialect(endpoint)
    elif scheme == "sagemaker":
        dialect = SagemakerDialect(endpoint, name)
    else:
        dialect = AgentDialect(endpoint, f"arn:{partition}:bedrock:{region}::foundation-model/")
    return AwsCloud(full, dialect, Scope(region, service), profile)


class AwsCloud(Cloud):
    """One of the three APIs, in one region.

    Args:
        address: The complete address.
        dialect: Of the API.
        scope: The region and the service that signatures are for.
        profile: The profile whose credentials to use, or None.
    """

    def __init__(self, address: str, dialect: BaseDialect, scope: Scope, profile: str | None) -> None:
        super().__init__(address, dialect)
        self._scope = scope
        self._profile = profile
        self.max_bytes = _MAX_BYTES.get(dialect.name)
        self.max_documents = MAX_SOURCES if dialect.name == "bedrock-agent" else None

    @property
    def _takes_bearer(self) -> bool:
        return self.dialect.name == "bedrock"  # Bedrock's Rerank accepts signatures only

    def find_key(self, given: Secret | SecretList | None) -> Secret | SecretList | None:
        """Return the caller's keys for this region and service, else a Bedrock API key or what the environment has."""
        if isinstance(given, AwsKeys):
            return given.with_scope(self._scope)
        source: Any = getattr(given, "value", None)
        if source == "":  # a gateway signs the requests
            return given
        if isinstance(source, BotocoreSource):
            return Secret(source.with_scope(self._scope))  # type: ignore[arg-type]
        if given is not None:
            if not self._takes_bearer:
                raise InvalidRequestError(
                    f"{self.dialect.name}: accepts signed requests only, and no api_key; leave it out, and pass "
                    "aws_access_key= and aws_secret_key=, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            return given
        bearer = os.environ.get(BEARER_VARIABLE)
        if self._takes_bearer and bearer and self._profile is None:
            return Secret(bearer, f"the environment variable {BEARER_VARIABLE}")
        return find_credentials(self._profile, self._scope, takes_bearer=self._takes_bearer)

    def missing_key_error(self) -> MissingApiKeyError:
        """Return the error for a client that has no credentials."""
        return missing_credentials(has_botocore=False, takes_bearer=self._takes_bearer)

    def check(self, call: Call) -> None:
        """Warn about texts that are too long for Bedrock's Rerank."""
        if not self.dialect.has_pages:
            return
        n_long = sum(len(text) > MAX_TEXT_CHARS for text in (call.body["query"], *call.texts))
        if n_long:
            from cohere_rerank._warn import warn

            warn(
                f"{n_long} texts are longer than {MAX_TEXT_CHARS:,} characters, the limit of Bedrock's Rerank; "
                "only their beginnings are scored. Split them, or use the address bedrock:REGION"
            )


def _checked_options(query: str, address: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _OPTIONS or not value:
            raise InvalidRequestError(
                f"{describe_address(address.partition('?')[0])} has an option {name[:40]!r} that is unknown or empty; "
                f"the options are {', '.join(_OPTIONS)}"
            )
    return options


def _region(given: str | None, profile: str | None, example: str) -> str:
    found = given or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or region_of_profile(profile)
    if not found:
        raise InvalidRequestError(f"no AWS region: write it in the address, such as {example}, or set AWS_REGION")
    if not _REGION.fullmatch(found):
        raise InvalidRequestError(
            f"the AWS region must look like us-east-1, got {describe_address(found)}; write the address as {example}"
        )
    return found


def _endpoint_of_environment(variable: str) -> str | None:
    """Return the endpoint that the environment names, with the variables of all AWS SDKs."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get(f"AWS_ENDPOINT_URL_{variable}") or os.environ.get("AWS_ENDPOINT_URL") or None
