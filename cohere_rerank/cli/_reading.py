"""The options that say how retrieval files are read, for the commands that read them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cohere_rerank.files.options import FORMATS, ReadOptions

from ._common import notice

__all__ = ["STDIN", "notice_shape", "reading_options", "regular_files"]

_Command = Callable[..., Any]
_FILE = click.Path(path_type=Path)  # the reader says what is missing
STDIN = "-"


def reading_options(*, without: Sequence[str] = ()) -> Callable[[_Command], _Command]:
    """Add the options of the reader to a command, which gets them as ``read=``, a `ReadOptions`.

    Args:
        without: The names of values that the command does not have, such as ``"keep"``.
    """
    options = {name: option for name, option in _OPTIONS.items() if name not in without}

    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def with_read(*args: Any, **others: Any) -> Any:
            given = {name: others.pop(name) for name in options}
            delimiter = given.get("delimiter")
            if delimiter is not None:
                given["delimiter"] = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
            if (columns := given.get("columns")) is not None:
                given["columns"] = tuple(name.strip() for name in columns.split(","))
            return command(*args, read=ReadOptions(**{n: v for n, v in given.items() if v is not None}), **others)

        for option in reversed(options.values()):
            with_read = option(with_read)
        return with_read

    return decorate


def _field(name: str, text: str) -> _Command:
    return click.option(f"--{name.replace('_', '-')}", name, metavar="NAME", help=text)


_OPTIONS: dict[str, _Command] = {
    "format": click.option(
        "--format",
        type=click.Choice(FORMATS),
        help="Format of the input.  [default: by the ending of the name, or by the first bytes]",
    ),
    "encoding": click.option(
        "--encoding",
        metavar="NAME",
        help="Encoding of text, such as cp1252.  [default: UTF-8]",
    ),
    "delimiter": click.option("--delimiter", metavar="CHAR", help="Character between cells.  [default: detected]"),
    "quotes": click.option("--quotes/--no-quotes", default=None, help="Whether cells can be in double quotes."),
    "header": click.option(
        "--has-header/--no-header",
        "header",
        default=None,
        help="Whether the first line names the columns.  [default: detected]",
    ),
    "columns": click.option(
        "--columns",
        metavar="NAMES",
        help="Names of columns, for a table without a header: qid,pid,query,text.",
    ),
    "query_field": _field("query_field", "Field of the query. All fields can be dotted paths such as node.text."),
    "documents_field": _field("documents_field", "Field of the list of documents."),
    "text_field": _field("text_field", "Field of the text of a document."),
    "id_field": _field("id_field", "Field of the id of a row or a query."),
    "document_id_field": _field("document_id_field", "Field of the id of a document."),
    "query": click.option("--query", metavar="TEXT", help="Query for all rows, which have none of their own."),
    "queries": click.option("--queries", type=_FILE, metavar="FILE", help="Queries with the ids of a run or of rows."),
    "corpus": click.option("--corpus", type=_FILE, metavar="FILE", help="Documents with the ids of a run."),
    "keep": click.option(
        "--keep", metavar="NAME", multiple=True, help="Write this field of the input too. Can be repeated."
    ),
}


def notice_shape(paths: Sequence[str], shown: Sequence[str], read: ReadOptions) -> None:
    """Print how files are read, if they are not in the own format.

    Args:
        paths: The files.
        shown: The names that the user has typed.
        read: How they are read.
    """
    from cohere_rerank.files.rows import open_rows

    with closing(open_rows(paths, read)) as rows:
        for note in rows.notes:
            for path, name in zip(paths, shown):
                note = note.replace(path, name)  # noqa: PLW2901 - a copy of standard input has another name
            notice(note)


@contextmanager
def regular_files(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paths, with a temporary copy of standard input in the place of ``-``. It can be read again."""
    with ExitStack() as stack:
        yield [stack.enter_context(_spooled()) if path == STDIN else path for path in paths]


@contextmanager
def _spooled() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cohere-rerank-") as folder:
        path = Path(folder, "stdin")
        with path.open("wb") as file:
            source = sys.stdin.buffer
            while chunk := source.read(1 << 20):
                file.write(chunk)
        yield str(path)
