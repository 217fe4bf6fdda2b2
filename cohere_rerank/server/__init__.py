"""A server that speaks Cohere's rerank API, on the local engine or in front of another server.

    >>> from cohere_rerank.server import Settings, create_app
    >>> app = create_app(Settings(api_keys=("a key of yours",)))  # an ASGI application

``cohere-rerank serve`` runs it. Every answer comes from `cohere_rerank.local.endpoint`; what is here reads other
dialects into its words, and keeps the machine alive under load. Names are imported when first used (PEP 562).
"""

from __future__ import annotations

from cohere_rerank._lazy import late_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .app import create_app as create_app
    from .run import serve as serve
    from .settings import Settings as Settings

_WHERE = {"Settings": "settings", "create_app": "app", "serve": "run"}
__all__ = ["Settings", "create_app", "serve"]


__getattr__, __dir__ = late_names(globals(), _WHERE)
