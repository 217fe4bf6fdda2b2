"""The module where the official package has a few shared names, such as ``cohere.core.RequestOptions``."""

from __future__ import annotations

from .api_error import ApiError as ApiError
from .request_options import RequestOptions as RequestOptions

__all__ = ["ApiError", "RequestOptions"]
