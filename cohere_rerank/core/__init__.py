"""The module where the official package has a few shared names, such as ``cohere.core.RequestOptions``."""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .api_error import ApiError as ApiError
    from .request_options import RequestOptions as RequestOptions

_EXPORTS = {
    "ApiError": "api_error",
    "RequestOptions": "request_options",
}
__all__ = ["ApiError", "RequestOptions"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
