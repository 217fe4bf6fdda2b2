"""What a response says about its call: version, billed units, tokens and warnings."""

# The annotations are real types, because schemas are made from them: no `from __future__ import annotations`.
from typing import Annotated

from cohere_rerank._result_base import ResultBase
from cohere_rerank._result_type import NoneOnError, result_type

from .spans import StopAtFirstError


@result_type
class ApiMetaApiVersion(ResultBase):
    """The version of the API that answered.

    Attributes:
        version: The version, such as "2".
        is_deprecated: Whether the version will be removed.
        is_experimental: Whether the version may change.
    """

    version: str
    is_deprecated: bool | None = None
    is_experimental: bool | None = None


@result_type
class ApiMetaBilledUnits(ResultBase):
    """The units that the call is billed for. Each is a count, or None if the call is not billed by that unit."""

    images: float | None = None
    input_tokens: float | None = None
    image_tokens: float | None = None
    text_tokens: float | None = None
    output_tokens: float | None = None
    search_units: float | None = None
    classifications: float | None = None
    pages: float | None = None


@result_type
class ApiMetaTokens(ResultBase):
    """The numbers of tokens that the model read and wrote."""

    input_tokens: float | None = None
    output_tokens: float | None = None


@result_type
class ApiMeta(ResultBase):
    """The facts about a call that the reply contains.

    Attributes:
        api_version: The version of the API that answered.
        billed_units: The units that the call is billed for.
        tokens: The numbers of tokens that the model used.
        cached_tokens: The number of these tokens that came from the inference cache.
        warnings: Warnings of the API for the caller.
    """

    api_version: Annotated[ApiMetaApiVersion | None, NoneOnError] = None
    billed_units: Annotated[ApiMetaBilledUnits | None, NoneOnError] = None
    tokens: Annotated[ApiMetaTokens | None, NoneOnError] = None
    cached_tokens: Annotated[float | None, NoneOnError] = None
    warnings: Annotated[Annotated[list[str], StopAtFirstError] | None, NoneOnError] = None
