"""Read retrieval results from files as other tools write them, as queries with their documents.

`read_rows` recognizes the format and the shape of a file. Jobs, evaluation and the command line use the same reader.
"""

from __future__ import annotations

from .errors import FileError as FileError
from .options import ReadOptions as ReadOptions
from .rows import read_rows as read_rows

__all__ = ["FileError", "ReadOptions", "read_rows"]
