"""Read documents from files, folders and standard input, each with its place."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any

from cohere_rerank._json_lines import UTF8_BOM, numbered_lines, parse_json
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.options import ReadOptions
from cohere_rerank.files.sources import find_files

from ._common import notice
from ._reading import regular_files

__all__ = ["FORMATS", "STDIN", "Item", "read_items", "read_records"]

STDIN = "-"
FORMATS = ("auto", "lines", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "whole")
_BY_ENDING = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
_DELIMITERS = {"csv": ",", "tsv": "\t"}
# Characters that must not be in the name of a single column, with their name and the advice for the user.
_OTHER_DELIMITERS = {
    ";": ("semicolon", "Save the table with commas"),
    "\t": ("tab", "Read it with --format tsv"),
    ",": ("comma", "Read it with --format csv"),
}
_AS_LINES = "--format lines reads each line as text"
_MAX_CELL_CHARS = 2**31 - 1  # the largest value on every platform; the default of the csv module is 131,072


@dataclass(frozen=True)
class Item:
    """A document, its place and its id.

    A place ``FILE:LINE`` counts from 1, ``FILE[INDEX]`` from 0, ``FILE:ROW[INDEX]`` is in a list of documents, and
    ``FILE`` is a whole file.
    """

    document: str | dict[str, Any]
    place: str
    id: str | int | None = None


def read_items(
    paths: Sequence[str], kind: str = "auto", *, query: str = "", options: ReadOptions | None = None
) -> list[Item]:
    """Read all documents in order. Skip blank lines.

    Args:
        paths: Files, folders, and ``-`` for standard input. In a folder, each file that is not hidden is a document.
        query: The query, for files that have queries of their own, which are not used.
        options: How tables and retrieval files are read.
        kind: One of FORMATS. With "auto", the extension of a file decides. Without a known extension, a file that
            starts with an object is JSON Lines, and any other file has one document on each line.

    Raises:
        InvalidRequestError: A file does not have its format. The message names the place.
        OSError: A file cannot be read.
    """
    options = options or ReadOptions()
    return list(chain.from_iterable(_read(path, kind, query, options) for path in paths))


def read_records(path: str) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each line of a JSON Lines file."""
    with _open(path) as lines:
        for place, text in _numbered_lines(path, lines):
            yield place, _parse(place, text, "each line must be JSON by itself")


def _read(path: str, kind: str, query: str, options: ReadOptions, *, shown: str = "") -> Iterator[Item]:
    if path == STDIN and kind not in ("auto", "lines", "whole"):
        yield from _copied_stdin(kind, query, options)
        return
    if path != STDIN and Path(path).is_dir():
        yield from _part_files(path, kind, query, options) if _is_output_folder(path) else _folder(Path(path))
        return
    if (
        path != STDIN
        and kind not in ("lines", "whole")
        and (found := _retrieved(path, kind, query, options, shown or path))
    ):
        for document, place, doc_id in found:
            yield Item(_check_document(place, document), place, doc_id)
        return
    if kind == "auto":
        kind = _BY_ENDING.get(Path(path).suffix.lower(), "auto")
    with _open(path) as file:
        if kind in _DELIMITERS:
            yield from _table(path, file, _DELIMITERS[kind])
        elif kind == "json":
            yield from _array(path, file)
        elif kind == "whole":
            yield Item(_text(path, file.read()), path)
        else:
            yield from _lines(path, file, kind)


def _copied_stdin(kind: str, query: str, options: ReadOptions) -> Iterator[Item]:
    """Read standard input from a copy, whose name is not shown."""
    with regular_files([STDIN]) as (copy,):
        try:
            for item in _read(copy, kind, query, options, shown=STDIN):
                yield Item(item.document, STDIN + item.place.removeprefix(copy), item.id)
        except InvalidRequestError as error:
            raise InvalidRequestError(error.message.replace(copy, STDIN)) from None


def _retrieved(
    path: str, kind: str, query: str, options: ReadOptions, shown: str
) -> Iterator[tuple[Any, str, Any]] | None:
    """Return the documents of a file that the reader of retrieval files must read, and say how it is read."""
    from ._retrieved import notes_of, read_retrieved

    given = replace(options, format=None if kind == "auto" else kind)
    is_text = kind == "auto" and Path(path).suffix.lower() in (".txt", ".md")
    found = None if is_text else read_retrieved(Path(path), query, given)
    if found is not None:
        with suppress(InvalidRequestError):
            for note in notes_of(Path(path), query, given):
                notice(note.replace(path, shown))
    return found


def _is_output_folder(path: str) -> bool:
    """Whether Spark or a similar program has written a folder: its files are parts, and not documents."""
    return Path(path, "_SUCCESS").exists() or any(Path(path).glob("part-*"))


def _part_files(path: str, kind: str, query: str, options: ReadOptions) -> Iterator[Item]:
    for file in find_files([path]):
        yield from _read(str(file), kind, query, options)


def _array(path: str, file: IO[bytes]) -> Iterator[Item]:
    value = _parse(path, _text(path, file.read()), "--format jsonl reads one value on each line")
    documents = value.get("documents") if isinstance(value, dict) else value
    if not isinstance(documents, list):
        raise InvalidRequestError(
            f"{path}: the file must be an array of documents, or an object with such an array under documents; "
            "--format whole reads the file as one document"
        )
    for index, document in enumerate(documents):
        place = f"{path}[{index}]"
        yield Item(_check_document(place, document), place)


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    if path == STDIN:
        if sys.stdin.isatty():
            notice("reading documents from the terminal, one on each line; end with Ctrl-D")
        yield sys.stdin.buffer
    else:
        with Path(path).open("rb") as file:
            yield file


def _lines(path: str, file: IO[bytes], kind: str) -> Iterator[Item]:
    for place, text in _numbered_lines(path, file):
        if kind == "auto":
            kind = "jsonl" if _is_object(text) else "lines"
        yield Item(_check_document(place, _parse(place, text, _AS_LINES)) if kind == "jsonl" else text, place)


def _numbered_lines(path: str, lines: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each line that is not blank."""
    for number, line in numbered_lines(lines):
        place = f"{path}:{number}"
        text = _decode(place, line)
        if text.strip():
            yield place, text


def _table(path: str, file: IO[bytes], delimiter: str) -> Iterator[Item]:
    csv.field_size_limit(_MAX_CELL_CHARS)
    text = _text(path, file.read())
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1  # the first line of a row, which may have several
    try:
        names = next(rows, [])
        _check_names(path, names)
        _check_delimiter(path, text, names)
        number = rows.line_num + 1
        for cells in rows:
            place, number = f"{path}:{number}", rows.line_num + 1
            if cells:
                yield Item(_row(place, names, cells), place)
    except csv.Error as error:
        raise InvalidRequestError(f"{path}:{number}: {error}") from None


def _row(place: str, names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    if len(cells) != len(names):
        raise InvalidRequestError(f"{place}: the row has {len(cells)} cells, but the first line has {len(names)} names")
    return dict(zip(names, cells))


def _check_delimiter(path: str, text: str, names: Sequence[str]) -> None:
    """Reject a table with another delimiter than that of its format: each row would be one cell."""
    if len(names) != 1 or text.startswith('"'):
        return
    found = next((mark for mark in _OTHER_DELIMITERS if mark in names[0]), None)
    if found is not None:
        name, advice = _OTHER_DELIMITERS[found]
        raise InvalidRequestError(
            f"{path}:1: there is one column, and its name has a {name}: are the cells separated by {name}s? {advice}; "
            "if there is only one column, put its name in double quotes"
        )


def _check_names(path: str, names: Sequence[str]) -> None:
    """Reject a table whose rows would lose a cell as objects."""
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise InvalidRequestError(f"{path}:1: column {number} has no name; name it, or remove it")
        if name in names[: number - 1]:
            first = names.index(name) + 1
            raise InvalidRequestError(f"{path}:1: columns {first} and {number} have the same name {name!r}; rename one")


def _folder(folder: Path) -> Iterator[Item]:
    n_skipped = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            text = _text(str(path), path.read_bytes())
        except InvalidRequestError:
            text = ""
        if text.strip() and "\0" not in text:
            yield Item(text, str(path))
        else:
            n_skipped += 1
    if n_skipped:
        files = "1 file" if n_skipped == 1 else f"{n_skipped} files"
        notice(f"{folder}: skipped {files} (empty, or not UTF-8 text)")


def _text(place: str, data: bytes) -> str:
    """The text of a whole file, without its byte order mark."""
    return _decode(place, data.removeprefix(UTF8_BOM))


def _decode(place: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{place}: not UTF-8 at byte {error.start + 1}; convert the file to UTF-8") from None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)  # it may hold NaN: the line is JSON Lines, and is refused as such
    except (ValueError, RecursionError):
        return False


def _parse(place: str, text: str, advice: str) -> Any:
    try:
        return parse_json(text)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{place}: {error}; {advice}") from None


def _check_document(place: str, value: Any) -> str | dict[str, Any]:
    if isinstance(value, (str, dict)) and value:
        return value
    kind = "empty" if isinstance(value, (str, dict)) else type(value).__name__
    raise InvalidRequestError(f"{place}: a document must be a text or an object, and not empty, got {kind}")
