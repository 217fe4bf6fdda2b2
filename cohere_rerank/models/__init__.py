"""Models that are downloaded once by name, and then work offline: ``cohere-rerank models get multilingual-e5-small``.

`catalog` lists them, `install` puts them into the folder of downloaded models, `downloads` gets their files, and
`weights`, `graph` and `tokenizer` convert them.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .catalog import CATALOG as CATALOG
    from .catalog import Model as Model
    from .catalog import find as find
    from .install import get as get
    from .install import path as path
    from .install import remove as remove
    from .install import status as status

_EXPORTS = {
    "CATALOG": "catalog",
    "Model": "catalog",
    "find": "catalog",
    "get": "install",
    "path": "install",
    "remove": "install",
    "status": "install",
}
__all__ = ["CATALOG", "Model", "find", "get", "path", "remove", "status"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
