"""Jobs, evaluation and the command line read JSON Lines by one rule."""

from __future__ import annotations

import json

import pytest

from cohere_rerank._json_lines import numbered_lines
from cohere_rerank.cli._read import read_items
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.evaluate import load_lists
from cohere_rerank.files import ReadOptions
from cohere_rerank.files.opening import open_records

GOOD = b'{"query": "q", "documents": ["a"], "relevant": [0]}'
BOM = b"\xef\xbb\xbf"


def read_as_job(path):
    reader = open_records(path, ReadOptions())
    return [reader.parse(raw) for _, raw in reader]


READERS = [read_as_job, load_lists, lambda path: read_items([str(path)])]


@pytest.fixture(params=READERS, ids=["jobs", "evaluate", "cli"])
def read(request, tmp_path):
    """``read(b"...")``: what one of the three readers makes of a file with this content."""

    def read_content(content):
        path = tmp_path / "in.jsonl"
        path.write_bytes(content)
        return request.param(path)

    return read_content


@pytest.mark.parametrize(
    "content",
    [
        GOOD + b"\n" + GOOD,
        BOM + GOOD + b"\r\n\r\n  \n" + GOOD + b"\n",
        json.dumps({"query": "q\u2028 \x85", "documents": ["a"], "relevant": [0]}, ensure_ascii=False).encode()
        + b"\n"
        + GOOD,
    ],
    ids=["no last line break", "byte order mark and blank lines", "line separators inside a string"],
)
def test_every_reader_takes_the_same_lines(read, content):
    """A byte order mark at the start, blank lines, both kinds of line breaks, a last line without one."""
    assert len(read(content)) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"query": "q", "documents": [NaN], "relevant": [0]}', "not JSON: expected value at column 30"),
        (b'{"query": "q", "documents": [-Infinity], "relevant": [0]}', "not JSON: "),
        (b'{"query": "q", "documents": [1e999], "relevant": [0]}', r"a number is beyond 1\.8e308"),
        (b'{"query": "q", "documents": [{"n": [1' + b"0" * 310 + b'.5]}], "relevant": [0]}', "a number is beyond"),
        (BOM + GOOD, "not JSON: expected value at column 1"),
        (b'{"query": "\\ud800", "documents": ["a"], "relevant": [0]}', "not JSON: "),
        (b'{"query": "q", "documents": ["a"], "relevant": [0],}', "not JSON: trailing comma"),
        (GOOD + b" " + GOOD, "not JSON: trailing characters"),
        (b'{"query": ' + b"[" * 100_000, "not JSON: recursion limit"),
        (b'{"query": "q', "not JSON: EOF while parsing a string at column"),
    ],
    ids=[
        "NaN",
        "Infinity",
        "1e999",
        "long float",
        "byte order mark",
        "surrogate",
        "comma",
        "two values",
        "deep",
        "cut",
    ],
)
def test_every_reader_refuses_the_same_lines(read, line, message):
    """The message says what is wrong and at which column, and does not quote the line."""
    with pytest.raises(InvalidRequestError, match=message) as refused:
        read(GOOD + b"\n" + line + b"\n")
    assert "relevant" not in str(refused.value)


def test_bytes_that_are_not_utf8_are_refused(read):
    """As is UTF-16 without a byte order mark."""
    with pytest.raises(InvalidRequestError, match="not UTF-8"):
        read(GOOD + b'\n{"query": "\xff"}\n')


def test_lines_are_numbered_from_1_and_blank_lines_count():
    """A line number in a message is the number that an editor shows."""
    assert list(numbered_lines([BOM + b"a\r\n", b"\n", b" \t\n", b"b"])) == [(1, b"a"), (4, b"b")]
