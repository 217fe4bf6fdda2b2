"""The types of arguments and results. Results are frozen dataclasses with slots and with Cohere's names.

Fields that a newer API adds are kept. They can be read as attributes, and every dump contains them.

Each name is imported when it is first used: a call needs the results, and only type checkers need most of the rest.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .arguments import AnyClient as AnyClient
    from .arguments import ApiKey as ApiKey
    from .arguments import ClientOptions as ClientOptions
    from .arguments import CommonArguments as CommonArguments
    from .arguments import DialectName as DialectName
    from .arguments import DocumentCollection as DocumentCollection
    from .arguments import Documents as Documents
    from .arguments import Fallback as Fallback
    from .arguments import FallbackMember as FallbackMember
    from .arguments import Limit as Limit
    from .arguments import ModelName as ModelName
    from .arguments import OnEvent as OnEvent
    from .arguments import OtherArguments as OtherArguments
    from .arguments import RequestOptions as RequestOptions
    from .arguments import RerankArguments as RerankArguments
    from .arguments import ScoreScale as ScoreScale
    from .meta import ApiMeta as ApiMeta
    from .meta import ApiMetaApiVersion as ApiMetaApiVersion
    from .meta import ApiMetaBilledUnits as ApiMetaBilledUnits
    from .meta import ApiMetaTokens as ApiMetaTokens
    from .response import V2RerankResponse as V2RerankResponse
    from .response import V2RerankResponseResultsItem as V2RerankResponseResultsItem
    from .spans import RerankRelevantSpanResponse as RerankRelevantSpanResponse
    from .spans import RerankRelevantSpans as RerankRelevantSpans
    from .spans import RerankRelevantSpansMode as RerankRelevantSpansMode
    from .v1_response import RerankResponse as RerankResponse
    from .v1_response import RerankResponseResultsItem as RerankResponseResultsItem
    from .v1_response import RerankResponseResultsItemDocument as RerankResponseResultsItemDocument

_MODULES = {
    "arguments": (
        "AnyClient",
        "ApiKey",
        "ClientOptions",
        "CommonArguments",
        "DialectName",
        "DocumentCollection",
        "Documents",
        "Fallback",
        "FallbackMember",
        "Limit",
        "ModelName",
        "OnEvent",
        "OtherArguments",
        "RequestOptions",
        "RerankArguments",
        "ScoreScale",
    ),
    "meta": ("ApiMeta", "ApiMetaApiVersion", "ApiMetaBilledUnits", "ApiMetaTokens"),
    "response": ("V2RerankResponse", "V2RerankResponseResultsItem"),
    "spans": ("RerankRelevantSpanResponse", "RerankRelevantSpans", "RerankRelevantSpansMode"),
    "v1_response": ("RerankResponse", "RerankResponseResultsItem", "RerankResponseResultsItemDocument"),
}
__all__ = [
    "AnyClient",
    "ApiKey",
    "ApiMeta",
    "ApiMetaApiVersion",
    "ApiMetaBilledUnits",
    "ApiMetaTokens",
    "ClientOptions",
    "CommonArguments",
    "DialectName",
    "DocumentCollection",
    "Documents",
    "Fallback",
    "FallbackMember",
    "Limit",
    "ModelName",
    "OnEvent",
    "OtherArguments",
    "RequestOptions",
    "RerankArguments",
    "RerankRelevantSpanResponse",
    "RerankRelevantSpans",
    "RerankRelevantSpansMode",
    "RerankResponse",
    "RerankResponseResultsItem",
    "RerankResponseResultsItemDocument",
    "ScoreScale",
    "V2RerankResponse",
    "V2RerankResponseResultsItem",
]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(
        globals(), {name: module for module, names in _MODULES.items() for name in names}
    )
