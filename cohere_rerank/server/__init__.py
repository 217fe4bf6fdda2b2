"""A server for Cohere's rerank API. It uses the local engine, or forwards requests to another API.

    >>> from cohere_rerank.server import ServerSettings, create_app
    >>> app = create_app(ServerSettings(api_keys=("your key",)))  # an ASGI application

``cohere-rerank serve`` runs it. `cohere_rerank.local.endpoint` handles every request. This package translates other
dialects to Cohere's v2 and back, and limits the work that the server does at the same time. Names are imported on
first use (PEP 562).
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .app import create_app as create_app
    from .run import serve as serve
    from .settings import ServerSettings as ServerSettings

_EXPORTS = {"ServerSettings": "settings", "create_app": "app", "serve": "run"}
__all__ = ["ServerSettings", "create_app", "serve"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
