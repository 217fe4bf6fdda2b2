"""A server that speaks Cohere's rerank API, on the local engine or in front of another server.

    >>> from cohere_rerank.server import Settings, create_app
    >>> app = create_app(Settings(api_keys=("a key of yours",)))  # an ASGI application

``cohere-rerank serve`` runs it. Every answer comes from `cohere_rerank.local.endpoint`; what is here reads other
dialects into its words, and keeps the machine alive under load. Names are imported when first used (PEP 562).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .app import create_app as create_app
    from .run import serve as serve
    from .settings import Settings as Settings

_WHERE = {"Settings": "settings", "create_app": "app", "serve": "run"}
__all__ = ["Settings", "create_app", "serve"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
