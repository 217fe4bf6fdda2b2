"""Read retrieval results from files as other tools write them, as queries with their documents.

`read_rows` recognizes the format and the shape of a file. Jobs, evaluation and the command line use the same reader.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import FileError as FileError
    from .options import ReadOptions as ReadOptions
    from .rows import read_rows as read_rows

_EXPORTS = {"FileError": "errors", "ReadOptions": "options", "read_rows": "rows"}
__all__ = ["FileError", "ReadOptions", "read_rows"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
