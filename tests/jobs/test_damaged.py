"""A damaged or poisoned journal or state file is a JobError: nothing is lost from it, and nothing is sent."""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from cohere_rerank.jobs import JobError, JobStoppedError
from cohere_rerank.jobs import records as records_module
from cohere_rerank.jobs.inputs import InputFiles
from cohere_rerank.jobs.journal import Journal
from cohere_rerank.jobs.seen import SeenIds
from cohere_rerank.jobs.settings import JobSettings
from cohere_rerank.jobs.state import open_locked
from tests.fake_server import error, good_reply

GOOD = b'{"id":1,"row":1,"results":[],"billed_units":{"search_units":1.0}}\n'
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def stopped(write, run, server, tmp_path):
    """``stopped(name)``: a job that stopped after one of three rows; returns its journal and how to resume it."""

    def stop(name="out.jsonl"):
        source = write(3)
        server.script(good_reply(), error(429, "You have reached your monthly limit"))
        with pytest.raises(JobStoppedError):
            run(source, name, concurrency=1)
        server.requests.clear()
        journal = tmp_path / (name if name.endswith("l") else f"{name}.part")
        assert journal.read_bytes().count(b"\n") == 1
        return journal, lambda: run(source, name, resume=True)

    return stop


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":2,"row":1000000000000,"results":[]}',
        b'{"id":2,"row":' + b"9" * 4000 + b',"results":[]}',
        b'{"id":2,"row":0,"results":[]}',
        b'{"id":2,"row":-1,"results":[]}',
        b'{"id":2,"row":true,"results":[]}',
        b'{"id":2,"row":2.0,"results":[]}',
        b'{"id":2,"row":"2","results":[]}',
        b'{"id":2,"row":null,"results":[]}',
        b'{"id":2,"results":[]}',
        b'{"row":2,"results":[]}',
        b'{"id":["2"],"row":2,"results":[]}',
        b'{"id":true,"row":2,"results":[]}',
        b'{"id":2,"row":2}',
        b'{"id":2,"row":2,"results":{}}',
        b'{"id":2,"row":2,"results":[],"error":{}}',
        b'{"id":2,"row":2,"error":"text"}',
        b'{"id":2,"row":2,"results":[],"billed_units":[]}',
        b'{"id":2,"row":2,"results":[],"billed_units":"1"}',
        b'{"id":2,"row":2,"results":[],"billed_units":{"search_units":"1"}}',
        b'{"id":2,"row":2,"results":[],"billed_units":{"search_units":-1}}',
        b'{"id":2,"row":2,"results":[],"billed_units":{"search_units":1e999}}',
        b'{"id":2,"row":2,"results":[],"estimated_search_units":true}',
        b'[{"id":2,"row":2,"results":[]}]',
        b'"text"',
    ],
    ids=lambda line: line.decode()[:60],
)
@pytest.mark.parametrize("is_last", [True, False])
def test_a_poisoned_row_is_refused(stopped, server, line, is_last):
    """The error names the line. The file is not changed, and a valid row in it stays."""
    journal, resume = stopped()
    content = journal.read_bytes() + line + b"\n" + (b"" if is_last else GOOD)
    journal.write_bytes(content)
    with pytest.raises(JobError, match=r"out\.jsonl: line 2 is not a row of this job"):
        resume()
    assert journal.read_bytes() == content
    assert server.requests == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":2,"row":2,"results":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"\xff\xfe\x00",
        b'{"id":2,"row":NaN}',
        b"",
    ],
    ids=["deep JSON", "binary", "NaN", "empty line"],
)
def test_a_line_that_is_not_json_is_refused_in_the_middle(stopped, server, line):
    """Only the last line may be left by a crash."""
    journal, resume = stopped()
    content = journal.read_bytes() + line + b"\n" + GOOD
    journal.write_bytes(content)
    with pytest.raises(JobError, match=r"out\.jsonl: line 2 is not a row of this job"):
        resume()
    assert journal.read_bytes() == content
    assert server.requests == []


@pytest.mark.parametrize("content", [b"\0" * 5000, b"x" * 5000, b'{"id":2,"row":2,"results":[' + b" " * 5000])
def test_a_line_without_an_end_is_read_in_bounded_memory(stopped, monkeypatch, content):
    """A longer line than a row can have is an error, and not cut off as an incomplete row."""
    journal, resume = stopped()
    monkeypatch.setattr(records_module, "MAX_LINE_BYTES", 4096)
    before = journal.read_bytes() + content
    journal.write_bytes(before)
    with pytest.raises(JobError, match="line 2 is longer than"):
        resume()
    assert journal.read_bytes() == before


def test_a_row_that_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    """It stops the job instead of making the whole journal unreadable."""
    monkeypatch.setattr("cohere_rerank.jobs.journal.MAX_LINE_BYTES", 100)
    with closing(SeenIds()) as seen, closing(Journal(tmp_path / "out.jsonl", seen, 10)) as journal:
        with pytest.raises(OSError, match="the results of row 1 have more than"):
            journal.append({"id": 1, "row": 1, "results": ["x" * 200]})
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_units_that_json_cannot_hold_do_not_make_a_journal_unreadable(tmp_path):
    """They are written as null, which is read as an unknown cost."""
    row = {"id": 1, "row": 1, "results": [], "billed_units": {"search_units": float("nan")}}
    with closing(SeenIds()) as seen, closing(Journal(tmp_path / "out.jsonl", seen, 10)) as journal:
        journal.append(row)
    with closing(SeenIds()) as seen, closing(Journal(tmp_path / "out.jsonl", seen, 10)) as journal:
        assert (len(journal.done), journal.search_units) == (1, 0.0)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_row_beyond_the_input_needs_little_memory(write, run, tmp_path, name):
    """A compressed input can have a thousand rows for each byte, so a large row number may be possible."""
    import gzip
    import tracemalloc

    source = tmp_path / "in.jsonl.gz"
    source.write_bytes(gzip.compress(write(3).read_bytes()) + bytes(1_000_000))  # gzip ignores zeros at the end
    report = run(source, name, concurrency=1)
    assert report.rows == 3
    with closing(SeenIds()) as seen:
        path = tmp_path / "poisoned"
        row = {"id": None, "results": []}
        numbers = [1_000_000_000 - 10_000 * n for n in range(100)]
        path.write_text("".join(json.dumps({**row, "row": number}) + "\n" for number in numbers))
        tracemalloc.start()
        with closing(Journal(path, seen, max_row=10**9)) as journal:
            assert len(journal.done) == 100
            assert [*journal.last_starts(ordered=True)][-1] == 0
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2_000_000


def test_a_last_row_without_its_line_break_is_kept(stopped, server):
    """Some editors remove it. The row is complete and paid."""
    journal, resume = stopped()
    content = journal.read_bytes()
    journal.write_bytes(content.rstrip(b"\n"))
    assert resume().rows == 3
    assert len(server.requests) == 2
    assert journal.read_bytes().startswith(content)


STATES = [
    b"mine\n",
    b"{}",
    b"[]",
    b"null",
    b"[" * 100_000,
    b" " * (2 << 20),
    b"\xff\xfe",
    b'{"version": NaN}',
    b'{"version": 3}',
    (
        b'{"version": 3, "input": [{"name": "a", "bytes": -1, "blake2b": ""}], '
        b'"options": {}, "written": {}, "ended": null}'
    ),
    (
        b'{"version": 3, "input": [{"name": "a", "bytes": true, "blake2b": ""}], '
        b'"options": {}, "written": {}, "ended": null}'
    ),
    b'{"version": 3, "input": [{"name": "a", "bytes": 1, "blake2b": 5}], "options": {}, "written": {}, "ended": null}',
    b'{"version": 3, "input": [], "options": {}, "written": {}, "ended": null}',
    b'{"version": 3, "input": [{"name": "a", "bytes": 1, "blake2b": ""}], "options": [], "written": {}, "ended": null}',
    b'{"version": 3, "input": [{"name": "a", "bytes": 1, "blake2b": ""}], "options": {}, "written": [], "ended": null}',
    (
        b'{"version": 3, "input": [{"name": "a", "bytes": 1, "blake2b": ""}], '
        b'"options": {}, "written": {"output": 5}, "ended": null}'
    ),
    (
        b'{"version": 3, "input": [{"name": "a", "bytes": 1, "blake2b": ""}], '
        b'"options": {}, "written": {"output": {}}, "ended": null}'
    ),
    (
        b'{"version": 3, "input": [{"name": "a", "bytes": 1, "blake2b": ""}], '
        b'"options": {}, "written": {}, "ended": {"rows": 1}}'
    ),
    b'{"version": 3, "input": [{"name": "a", "bytes": 1, "blake2b": ""}], "options": {}, "written": {}, "ended": 5}',
]


@pytest.mark.parametrize("content", STATES, ids=lambda content: content.decode("latin-1")[:20])
@pytest.mark.parametrize("resume", [True, False])
def test_a_damaged_state_file_is_refused(write, run, server, tmp_path, content, resume):
    """It may belong to another program, so it is not changed, whether the job is new or resumed."""
    (tmp_path / "out.csv.job").write_bytes(content)
    with pytest.raises(JobError, match=r"out\.csv\.job: it is not the state file of a job, or it is corrupt"):
        run(write(2), "out.csv", resume=resume)
    assert (tmp_path / "out.csv.job").read_bytes() == content
    assert server.requests == []


@pytest.mark.parametrize("values", [{"rows": "many"}, {"rows": None}, {"stopped": 3}, {"failed": []}, {"other": 1}])
def test_the_numbers_of_a_finished_job_are_checked(write, run, tmp_path, values):
    """A report from a poisoned state file would break the program that prints it."""
    source = write(2)
    run(source, "out.csv")
    path = tmp_path / "out.csv.job"
    state = json.loads(path.read_text())
    state["ended"].update(values)
    path.write_text(json.dumps(state))
    with pytest.raises(JobError, match="it is not the state file of a job, or it is corrupt"):
        run(source, "out.csv", resume=True)


JUNK = st.one_of(
    st.binary(max_size=80),
    st.just(GOOD),
    st.builds(
        lambda row: json.dumps(row).encode() + b"\n",
        st.dictionaries(
            st.sampled_from(["id", "row", "results", "error", "billed_units", "estimated_search_units", "x"]),
            st.one_of(
                st.none(), st.integers(-2, 60), st.text(max_size=3), st.lists(st.integers(), max_size=2), st.floats()
            ),
        ),
    ),
)


def check_any_journal(path: Path, content: bytes) -> None:
    """Open a file as a journal: it is refused and not changed, or it keeps every line that is JSON."""
    path.write_bytes(content)
    with closing(SeenIds()) as seen:
        try:
            journal = Journal(path, seen, max_row=50)
        except JobError:
            assert path.read_bytes() == content
            return
        journal.close()
    kept = path.read_bytes()
    lost = content[len(kept) :]
    assert content.startswith(kept) or kept == content + b"\n"
    assert b"\n" not in lost[:-1]
    if lost:
        with pytest.raises(ValueError, match="at line"):
            from_json(lost, allow_inf_nan=False)
    assert all(1 <= json.loads(line)["row"] <= 50 for line in kept.split(b"\n") if line)


@settings(deadline=None, max_examples=200)
@given(parts=st.lists(JUNK, max_size=6))
@example(parts=[GOOD, b"5"])
@example(parts=[GOOD, GOOD[:-1]])
@example(parts=[b"\0" * 20])
def test_any_content_is_a_journal_or_is_refused_and_kept(parts):
    """Whatever a file contains, opening it raises nothing else than JobError, and removes only an incomplete line."""
    with tempfile.TemporaryDirectory() as folder:
        check_any_journal(Path(folder) / "out.jsonl", b"".join(parts))


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@settings(deadline=None, max_examples=5_000)
@given(parts=st.lists(JUNK, max_size=12))
def test_any_content_is_a_journal_or_is_refused_and_kept_longer(parts):
    """The same with many more examples."""
    with tempfile.TemporaryDirectory() as folder:
        check_any_journal(Path(folder) / "out.jsonl", b"".join(parts))


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


def check_any_state(folder: Path, field: str, value: object) -> None:
    """Resume a job whose state file has another value in one field."""
    source = folder / "in.jsonl"
    source.write_text('{"query": "q", "documents": ["d"]}\n')
    job = JobSettings.from_arguments(source, folder / "out.csv", resume=True, processes=1)
    files, options = InputFiles([source], can_grow=True), {"model": "m"}
    with open_locked(job, files, options):
        pass
    state = json.loads(job.state.read_text())
    parent = state["input"][0] if field in state["input"][0] else state
    parent[field] = value
    content = json.dumps(state).encode()
    job.state.write_bytes(content)
    try:
        with open_locked(job, files, options) as restored:
            restored.has_written("output", source)
    except JobError:
        assert job.state.read_bytes() == content


@settings(deadline=None, max_examples=100)
@given(
    field=st.sampled_from(["version", "input", "name", "bytes", "blake2b", "options", "written", "ended"]), value=VALUES
)
def test_any_value_in_a_state_file_is_a_job_error_at_most(field, value):
    """Whatever a field contains, resuming raises nothing else than JobError, and does not change the file."""
    with tempfile.TemporaryDirectory() as folder:
        check_any_state(Path(folder), field, value)


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@settings(deadline=None, max_examples=1_000)
@given(
    field=st.sampled_from(["version", "input", "name", "bytes", "blake2b", "options", "written", "ended"]), value=VALUES
)
def test_any_value_in_a_state_file_is_a_job_error_at_most_longer(field, value):
    """The same with many more examples."""
    with tempfile.TemporaryDirectory() as folder:
        check_any_state(Path(folder), field, value)
