"""The error of a file that cannot be read as a whole. An error of one row is an InvalidRequestError of that row."""

from __future__ import annotations

from cohere_rerank.errors import InvalidRequestError

__all__ = ["FileError"]


class FileError(InvalidRequestError):
    """A file cannot be read: it is missing, broken, or its rows have no shape that is known.

    The message names the file, what was found, and the option that helps.
    """

    __module__ = "cohere_rerank.files"  # the public name, which tracebacks show
