"""The journal: what a crash leaves is repaired, and nothing else is lost."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank.jobs import JobError
from cohere_rerank.jobs.journal import Journal
from cohere_rerank.jobs.row_sets import Failures, RowSet
from cohere_rerank.jobs.seen import SeenIds

_seen: list[SeenIds] = []


@pytest.fixture(autouse=True)
def _close_ids():
    """Close them as a job does, because Python 3.13 warns of an open database."""
    yield
    while _seen:
        _seen.pop().close()


def open_journal(path):
    _seen.append(SeenIds())
    return Journal(path, _seen[-1], max_row=10_000)


def record(number, **more):
    return {"id": f"id {number}", "row": number, **(more or {"results": []})}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5000))))
def test_a_row_set_is_a_set(steps):
    """It behaves like a set of whole numbers for any order of additions and removals."""
    ours, model = RowSet(), set()
    for is_added, number in steps:
        (ours.add if is_added else ours.discard)(number)
        (model.add if is_added else model.discard)(number)
    assert len(ours) == len(model)
    assert all((number in ours) == (number in model) for number in range(5001))


def test_failures_are_counted_by_type_and_status():
    """Only the last error of a row counts. The text quotes no server; for invalid rows it has an example."""
    failures = Failures()
    assert failures.most_common() is None
    wrong = {"type": "InvalidRequestError", "message": "line 5: the row has no documents"}
    for number in (1, 2, 3):
        failures.record(number, {"type": "NotFoundError", "status_code": 404, "message": "no such model"})
    failures.record(4, {"type": "ScorerError", "message": "words of a scorer"})
    failures.record(5, wrong)
    failures.record(6, {**wrong, "message": "line 6: broken"})
    assert (len(failures), failures.n_invalid) == (6, 2)
    assert failures.most_common() == "NotFoundError, status 404 (3 of 6)"
    failures.record(1, {"type": "ScorerError"})
    failures.discard(2)
    failures.discard(4)
    assert (len(failures), failures.n_invalid) == (4, 2)
    assert failures.most_common() == "InvalidRequestError (2 of 4), such as line 5: the row has no documents"
    failures.record(5, {"type": "ScorerError", "message": "words of a scorer"})
    assert failures.most_common() == "ScorerError (2 of 4)"
    failures.record(1, {**wrong, "message": "line 1: broken"})
    assert failures.most_common() == "InvalidRequestError (2 of 4), such as line 1: broken"
    for number in (5, 6, 1):
        failures.discard(number)
    assert failures.most_common() == "NotFoundError, status 404 (1 of 1)"
    failures.discard(3)
    assert (len(failures), failures.n_invalid, failures.most_common()) == (0, 0, None)


@settings(deadline=None, max_examples=50)  # each of them opens files
@given(numbers=st.lists(st.integers(1, 50), min_size=1, unique=True), data=st.data())
def test_a_journal_that_is_cut_anywhere_keeps_its_complete_lines(tmp_path_factory, numbers, data):
    """It opens with the rows that end before the cut, and appends in a new line."""
    path = tmp_path_factory.mktemp("journal") / "out.jsonl"
    journal = open_journal(path)
    for number in numbers:
        journal.append(record(number))
    journal.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = whole[: cut + 1].count(b"\n")  # a row is complete without its line break
    journal = open_journal(path)
    assert [number for number in range(51) if number in journal.done] == sorted(numbers[:kept])
    journal.append(record(51))
    journal.close()
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [*numbers[:kept], 51]


def test_zeros_and_broken_text_at_the_end_are_cut_off(tmp_path):
    """A power cut can leave blocks that were allocated and never written."""
    path = tmp_path / "out.jsonl"
    for tail in (b"\0" * 5000, b'{"row": \n', b'{"row": 2, "resu'):
        path.write_bytes(b'{"id":1,"row":1,"results":[]}\n' + tail)
        open_journal(path).close()
        assert path.read_bytes() == b'{"id":1,"row":1,"results":[]}\n'


def test_a_line_in_the_middle_that_is_not_a_row_is_refused(tmp_path):
    """Another program changed the file, so nothing is removed from it."""
    path = tmp_path / "out.jsonl"
    content = b'{"id":1,"row":1,"results":[]}\nmine\n{"id":2,"row":2,"results":[]}\n'
    path.write_bytes(content)
    with pytest.raises(JobError, match="line 2 is not a row of this job"):
        open_journal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"my own text, without an end", b"my own line\n", b'{"other": 1}\n', b"{}"])
def test_a_file_of_another_program_is_refused(tmp_path, content):
    """It does not look like an incomplete row, so nothing is cut off."""
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    with pytest.raises(JobError, match="line 1 is not a row of this job"):
        open_journal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"{", b'{"id":"a","ro', b"\0" * 100, b'{"id":"a","row":1,"res\n'])
def test_an_incomplete_first_row_is_cut_off(tmp_path, content):
    """A crash may leave any part of it."""
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    open_journal(path).close()
    assert path.read_bytes() == b""


def test_an_error_that_is_not_an_object_is_refused(tmp_path):
    """No job writes such a row."""
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"id":1,"row":1,"error":"text"}\n{"id":2,"row":2,"results":[]}\n')
    with pytest.raises(JobError, match="line 1 is not a row of this job"):
        open_journal(path)


def test_costs_and_failures_are_read_back(tmp_path):
    """Reported and estimated units are added. A row that was sent again counts as it ended."""
    path = tmp_path / "out.jsonl"
    journal = open_journal(path)
    journal.append(record(1, results=[], billed_units={"search_units": 2.0}))
    journal.append(record(2, error={"type": "X"}))
    journal.append(record(3, results=[], estimated_search_units=4.0))
    journal.append(record(4, error={"type": "X"}))
    journal.append(record(2, results=[], billed_units={"search_units": 1.0}))
    journal.close()
    again = open_journal(path)
    again.close()
    for one in (journal, again):
        assert (one.search_units, one.estimated_units) == (7.0, 4.0)
        assert (len(one.done), [number for number in range(9) if number in one.failed]) == (4, [4])
        assert (one.is_in_order, one.has_duplicates) == (False, True)


def test_disk_space_is_reserved_while_the_file_is_open(tmp_path):
    """Closing the journal releases it."""
    journal = open_journal(tmp_path / "out.jsonl")
    journal.reserve_space()
    assert os.fstat(journal._reserve.fileno()).st_size == 4 << 20
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    journal.close()
    assert journal._reserve is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=60))
def test_each_id_has_one_first_row(names):
    """A string and a number that look the same are two ids."""
    seen, first = SeenIds(), {}
    for number, name in enumerate(names):
        assert seen.first_row_with(name, number) == first.setdefault((type(name), name), number)
    seen.close()
