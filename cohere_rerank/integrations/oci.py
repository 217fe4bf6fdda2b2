"""Cohere's models on Oracle Cloud (OCI Generative AI): ``base_url="oci:REGION/COMPARTMENT"``.

Requests to OCI are signed with a private key, which needs an RSA library. So the signature is yours: pass an
``httpx_client=`` whose ``auth=`` signs. The docs have one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from cohere_rerank._addresses import checked_base_url
from cohere_rerank._settings import Secret, SecretList
from cohere_rerank._validators import describe_address
from cohere_rerank._wire.cloud import Cloud, FixedUrlDialect, reject_fields
from cohere_rerank.errors import InvalidRequestError

__all__ = ["cloud"]

_VERSION = "20231130"  # of the API
_REGION = re.compile(r"[a-z]{2}-[a-z]+(?:-[a-z0-9]+)*-[0-9]", re.ASCII)
_OCID = re.compile(r"ocid1\.(?:compartment|tenancy)\.[A-Za-z0-9._-]{3,250}", re.ASCII)
_ENDPOINT_OCID = "ocid1.generativeaiendpoint."
_UNSUPPORTED = ("priority", "relevant_spans")


def cloud(address: str) -> OciCloud:
    """Return the cloud behind ``oci:REGION/COMPARTMENT``, or behind ``oci:https://host/COMPARTMENT``.

    Raises:
        InvalidRequestError: The region, the URL or the OCID of the compartment is not valid.
    """
    place, _, compartment = address.partition(":")[2].rpartition("/")
    if _OCID.fullmatch(compartment):
        if _REGION.fullmatch(place):
            host = f"https://inference.generativeai.{place}.oci.oraclecloud.com"
            return OciCloud(address, OciDialect(host, compartment))
        if place.lower().startswith(("https://", "http://")):
            return OciCloud(address, OciDialect(checked_base_url(place, "the URL after oci:"), compartment))
    raise InvalidRequestError(
        "base_url must look like oci:REGION/COMPARTMENT, such as oci:us-chicago-1/ocid1.compartment.oc1..aaaa, got "
        f"{describe_address(address)}"
    )


class OciDialect(FixedUrlDialect):
    """The form of ``rerankText``. A model is the name of one on demand, or the OCID of a dedicated endpoint."""

    name = "oci"
    key_hint = "check the key and the fingerprint of the signature, and the clock of this machine"

    def __init__(self, host: str, compartment: str) -> None:
        super().__init__(f"{host.rstrip('/')}/{_VERSION}/actions/rerankText")
        self._compartment = compartment

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a v2 body as RerankTextDetails."""
        reject_fields(body, _UNSUPPORTED, "OCI")
        model = body["model"]
        known = {"model", "query", "documents", "top_n", "max_tokens_per_doc"}
        mode = (
            {"servingType": "DEDICATED", "endpointId": model}
            if model.startswith(_ENDPOINT_OCID)
            else {"servingType": "ON_DEMAND", "modelId": model}
        )
        optional = {"topN": body.get("top_n"), "maxTokensPerDocument": body.get("max_tokens_per_doc")}
        return {
            **{name: value for name, value in body.items() if name not in known},
            "input": body["query"],
            "documents": body["documents"],
            "compartmentId": self._compartment,
            "servingMode": mode,
            **{name: value for name, value in optional.items() if value is not None},
            "isEcho": False,
        }

    def to_v2(self, content: bytes, headers: Mapping[str, str], top_n: int | None) -> bytes:  # noqa: ARG002
        """Return a RerankTextResult in the form of v2."""
        reply = from_json(content)
        ranks = reply.get("documentRanks") if isinstance(reply, dict) else None
        if not isinstance(ranks, list):
            return content
        results = [
            {"index": rank.get("index"), "relevance_score": rank.get("relevanceScore")}
            if isinstance(rank, dict)
            else {"index": rank}
            for rank in ranks
        ]
        return to_json({"id": reply.get("id"), "results": results})


class OciCloud(Cloud):
    """The inference API of a region, for one compartment."""

    def find_key(self, given: Secret | SecretList | None) -> Secret | SecretList | None:
        """Return the caller's key, which is sent as a Bearer token. Without one, no header is sent: httpx signs."""
        return Secret("") if given is None else given
