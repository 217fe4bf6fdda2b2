"""Labelled lists: reading JSON Lines, and errors that never show a document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.evaluate import LabelledList, load_lists
from cohere_rerank.files import FileError

SECRET = "a document that must not be seen"
LINE = {"query": "q", "documents": [SECRET, "b", {"title": "c"}]}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a JSON Lines file and returns its path. Objects are written as JSON."""

    def encoded(line) -> bytes:
        if isinstance(line, bytes):
            return line
        return (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)).encode()

    def to_file(*lines) -> Path:
        path = tmp_path / "lists.jsonl"
        path.write_bytes(b"\n".join(encoded(line) for line in lines))
        return path

    return to_file


def test_indices_and_grades_are_read(write):
    """Relevant indices and grades are read, under each name of the field. Other fields and blank lines are ignored."""
    path = write(
        {**LINE, "relevant": [2, 0, 2], "id": 7},
        "",
        {**LINE, "grades": [0, 1.5, 3]},
        "  ",
        {**LINE, "judgements": [0, 0, 0]},
        {**LINE, "judgments": [1, 0, 0], "relevant": None},
        {**LINE, "relevant": []},
    )
    lists = load_lists(path)
    assert [item.grades for item in lists] == [[1, 0, 1], [0, 1.5, 3], [0, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert all(item.documents == LINE["documents"] and item.query == "q" for item in lists)
    assert load_lists(str(path)) == lists


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(write):
    """A file with a byte order mark and CRLF, as on Windows, is read like any other."""
    text = json.dumps({**LINE, "query": "où", "relevant": [1]}, ensure_ascii=False)
    path = write(b"\xef\xbb\xbf" + text.encode() + b"\r", text.encode() + b"\r\n")
    assert [item.query for item in load_lists(path)] == ["où", "où"]


def test_an_empty_file_has_no_lists(write):
    """Only evaluate requires at least one list."""
    assert load_lists(write()) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f'{{"query": "{SECRET}"', "not JSON"),
        (b'{"query": "\xff\xfe"}', "not UTF-8: byte 0xff at column 12"),
        ('{"query": ' + "[" * 100_000, "not JSON"),
        ('{"query": "q", "documents": ["a"], "grades": [1' + "0" * 5000 + "]}", "line 3"),
        ([SECRET], "must be an object with query and documents, got a list"),
        ({"documents": [SECRET], "relevant": [0]}, "must have query"),
        ({"query": " ", "documents": [SECRET], "relevant": [0]}, "query must be a string that is not blank"),
        ({"query": "q", "documents": SECRET, "relevant": [0]}, "documents"),
        ({"query": "q", "documents": [SECRET, ""], "relevant": [0]}, "document at index 1 is empty"),
        ({"query": "q", "documents": [SECRET, 5], "relevant": [0]}, "document at index 1 is of type int"),
        (LINE, "found neither"),
        ({**LINE, "relevant": [0], "grades": [1, 0, 0]}, "found relevant and grades"),
        ({**LINE, "relevant": 0}, "relevant must be a list, got int"),
        ({**LINE, "relevant": [3]}, "from 0 to 2, got 3"),
        ({**LINE, "relevant": [-1]}, "from 0 to 2, got -1"),
        ({**LINE, "relevant": [True]}, "from 0 to 2, got bool"),
        ({**LINE, "relevant": [SECRET]}, "from 0 to 2, got str"),
        ({**LINE, "grades": SECRET}, "grades must be a list, got str"),
        ({**LINE, "grades": [1, 0]}, "3 documents and 2 grades"),
        ({**LINE, "grades": [1, SECRET, 0]}, "index 1 must be a number from -1000000 to 1000000, got str"),
        ({**LINE, "grades": [1, -2e6, 0]}, "got -2000000.0"),
        ({**LINE, "grades": [1, 0, float("nan")]}, "not JSON: expected value"),
        ({**LINE, "grades": [1, 0, float("inf")]}, "not JSON: expected value"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 50 else "",
)
def test_the_error_of_a_bad_line_names_the_line_and_shows_no_document(write, line, problem):
    """The message contains the file and the line number, but no document."""
    path = write({**LINE, "relevant": [0]}, "", line)
    with pytest.raises(InvalidRequestError, match=problem) as caught:
        load_lists(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 3: ")
    assert SECRET not in message
    assert len(message) < len(str(path)) + 300
    assert caught.value.__suppress_context__


def test_a_missing_file_is_a_file_error(tmp_path):
    """The message names the file."""
    with pytest.raises(FileError, match=r"none\.jsonl: no such file"):
        load_lists(tmp_path / "none.jsonl")


def test_a_list_copies_its_arguments():
    """Later changes of the arguments have no effect. Iterables are read once. Numbers of numpy are accepted."""
    numpy = pytest.importorskip("numpy")
    documents, grades = ["a", {"title": "b"}], [0, 1]
    item = LabelledList("q", documents, grades)
    documents.append("c")
    grades[0] = 5
    assert (item.documents, item.grades) == (["a", {"title": "b"}], [0, 1])
    assert item == LabelledList("q", (text for text in item.documents), numpy.array([0, 1]))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((None, ["a"], [1]), "query must be"),
        (("q", "a", [1]), "documents must be a list"),
        (("q", {"a": 1}, [1]), "documents must be a list"),
        (("q", None, [1]), "documents must be a list"),
        (("q", ["a"], None), "grades must be a list"),
        (("q", ["a"], "1"), "grades must be a list"),
        (("q", ["a"], [True]), "got bool"),
        (("q", ["a"], [10**400]), "from -1000000 to 1000000"),
        (("q", ["a"], [1j]), "got complex"),
    ],
    ids=str,
)
def test_an_invalid_list_is_rejected(arguments, problem):
    """The constructor raises the error, not a later evaluation."""
    with pytest.raises(InvalidRequestError, match=problem):
        LabelledList(*arguments)


@pytest.mark.parametrize(
    ("values", "grades"),
    [
        ([[0, 1, 0, 0], [1, 0, 0, 0]], [[0, 1, 0, 0], [1, 0, 0, 0]]),
        ([[False, True, False, True]], [[0, 1, 0, 1]]),
        ([[1], [2, 0]], [[0, 1, 0, 0], [1, 0, 1, 0]]),
        ([["d2"], []], [[0, 0, 1, 0], [0, 0, 0, 0]]),
    ],
)
def test_relevant_is_a_mask_or_has_indices_or_ids(write, values, grades):
    """Four zeros and ones for four documents cannot be indices."""
    documents = [{"id": f"d{number}", "text": "t"} for number in range(4)]
    lists = load_lists(write(*({"query": "q", "documents": documents, "relevant": value} for value in values)))
    assert [item.grades for item in lists] == grades


def test_two_documents_are_ambiguous_unless_another_row_decides(write):
    """[0, 1] may mean both documents or the second one. The message asks for grades."""
    two, four = {"query": "q", "documents": ["a", "b"]}, {"query": "q", "documents": ["a", "b", "c", "d"]}
    with pytest.raises(InvalidRequestError, match=r"relevant is \[0, 1\]: is it a 0 or 1 .* Write grades"):
        load_lists(write({**two, "relevant": [0, 1]}))
    mask = load_lists(write({**two, "relevant": [0, 1]}, {**four, "relevant": [0, 1, 0, 1]}))
    assert mask[0].grades == [0, 1]
    indices = load_lists(write({**two, "relevant": [0, 1]}, {**four, "relevant": [3]}))
    assert indices[0].grades == [1, 1]
    with pytest.raises(InvalidRequestError, match="use one form"):
        load_lists(write({**four, "relevant": [3]}, {**four, "relevant": [0, 1, 0, 1]}))
