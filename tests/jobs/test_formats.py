"""The formats that a job writes, and inputs that break while it reads them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from contextlib import contextmanager
from unittest.mock import Mock

import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.jobs import JobStoppedError
from cohere_rerank.jobs.files import format_of
from tests.jobs.conftest import rows_of


class ZstdError(Exception):
    """The error of the standard library from Python 3.14 on."""


class FailingFile(io.RawIOBase):
    """A file that raises an error after its content."""

    def __init__(self, content, error):
        self._content = io.BytesIO(content)
        self._error = error

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._content.read(len(buffer))
        if not data:
            raise self._error
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("in.jsonl", OSError(5, "Input/output error"), "cannot be read after line 3: Input/output error"),
        ("in.csv", OSError(116, "Stale file handle"), "cannot be read after row 3: Stale file handle"),
        ("in.jsonl.gz", ZstdError("checksum"), "broken after line 3: checksum"),
    ],
)
def test_an_input_that_fails_midway_stops_the_job_which_can_resume(
    write, run, tmp_path, monkeypatch, name, error, message
):
    """A read error and a broken compressed file stop the job after the rows that were read."""
    content = write(3).read_bytes()
    if "csv" in name:
        content = b"query,documents\n" + b'q,"[""a""]"\n' * 3
    (tmp_path / name).write_bytes(content)

    @contextmanager
    def failing(path, compression):
        with io.BufferedReader(FailingFile(content, error)) as decompressed, path.open("rb") as raw_file:
            yield decompressed, raw_file

    monkeypatch.setattr("cohere_rerank.files.readers.open_file", failing)
    monkeypatch.setattr("cohere_rerank.files.readers.decompression_errors", lambda compression: (ZstdError,))
    with pytest.raises(JobStoppedError, match=rf"{message}; 3 rows are saved .* resume"):
        run(tmp_path / name)


@pytest.mark.parametrize("name", ["in", "in.txt", "in.gz", "in.parquet.gz", "in.tsv"])
def test_a_file_name_without_a_known_ending_is_refused(tmp_path, name):
    """The error lists the endings."""
    with pytest.raises(InvalidRequestError, match=r"\.jsonl"):
        format_of(tmp_path / name)


ROWS = [
    {"id": "a", "query": "q", "documents": ["one", "two"]},
    {"id": "b", "query": "q"},
    {"id": "c", "query": "r", "documents": ["one", "two"], "top_n": 1},
]


def test_every_output_format_has_the_same_rows(write, run, tmp_path):
    """JSON Lines, CSV and Parquet, compressed or not, have the same rows in the same order.

    Only the state file is left beside them.
    """
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    source = write(ROWS)
    for name in ("out.jsonl", "out.jsonl.gz", "out.csv", "out.csv.gz", "out.parquet"):
        run(source, name, errors=tmp_path / f"errors.{name}")
    plain = rows_of(tmp_path / "out.jsonl")
    assert [list(row) for row in plain] == [["id", "row", "results", "billed_units"]] * 2
    assert [row["id"] for row in plain] == ["a", "c"]
    assert len(plain[1]["results"]) == 1

    unpacked = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes())
    assert unpacked == (tmp_path / "out.jsonl").read_bytes()
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == (tmp_path / "out.csv").read_bytes()
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [json.loads(row["results"]) for row in cells] == [row["results"] for row in plain]
    assert [row["search_units"] for row in cells] == ["1.0", "1.0"]

    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["row"], row["results"]) for row in table] == [
        (row["id"], row["row"], row["results"]) for row in plain
    ]
    failed = parquet.read_table(tmp_path / "errors.out.parquet").to_pylist()
    assert [(row["id"], row["error"]["type"]) for row in failed] == [("b", "InvalidRequestError")]
    assert rows_of(tmp_path / "errors.out.jsonl")[0]["error"]["message"] == "line 2: the row has no documents"


def test_ids_in_parquet_are_numbers_unless_one_is_text(write, run, tmp_path):
    """A Parquet column has one type."""
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    run(write(2), "numbers.parquet")
    assert parquet.read_table(tmp_path / "numbers.parquet").column("id").to_pylist() == [0, 1]
    run(write([{"id": "a", "query": "q", "documents": ["d"]}, {"query": "q", "documents": ["d"]}]), "mixed.parquet")
    assert parquet.read_table(tmp_path / "mixed.parquet").column("id").to_pylist() == ["a", "2"]
    rows = [{"id": number, "query": "q", "documents": ["d"]} for number in (2**63 - 1, -(2**63))]
    run(write(rows), "large.parquet")
    assert parquet.read_table(tmp_path / "large.parquet").column("id").to_pylist() == [2**63 - 1, -(2**63)]
    run(write([*rows, {**rows[0], "id": 2**63}]), "huge.parquet")
    assert parquet.read_table(tmp_path / "huge.parquet").column("id").to_pylist()[2] == str(2**63)


def test_a_value_that_a_format_cannot_hold_loses_no_result(write, run, server, tmp_path, monkeypatch):
    """The job stops as it does for a full disk, and writes the output at the next run."""
    pytest.importorskip("pyarrow")
    import pyarrow

    source = write(2)
    for failure in (OverflowError("too large"), pyarrow.ArrowNotImplementedError("too large")):
        with monkeypatch.context() as patched:
            patched.setattr("cohere_rerank.jobs.writers._flat_row", Mock(side_effect=failure))
            with pytest.raises(JobStoppedError, match=r"out\.parquet: cannot be written: too large; all rows are done"):
                run(source, "out.parquet", resume=True)
    assert run(source, "out.parquet", resume=True).rows == 2
    assert len(server.requests) == 2


def test_relevant_spans_are_in_every_format(write, run, tmp_path):
    """Parquet has a column for them when all rows ask for spans."""
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    source = write([{"query": "one", "documents": ["one two"]}])
    for name in ("out.jsonl", "out.parquet"):
        run(source, name, relevant_spans={"mode": "enabled", "threshold": 0.0})
    spans = rows_of(tmp_path / "out.jsonl")[0]["results"][0]["relevant_spans"]
    assert [(span["start"], span["end"]) for span in spans] == [(0, 3)]
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]["results"][0]["relevant_spans"] == spans


PASSAGES = [
    {"qid": "7", "query": "one", "docno": "d1", "text": "two", "source": "wiki", "year": 2020},
    {"qid": "7", "query": "one", "docno": "d2", "text": "one", "source": "wiki", "year": 2020},
    {"qid": "8", "query": "two", "docno": "d3", "text": "two", "source": "news", "year": 2021.5},
]


def test_a_json_output_is_an_array(write, run, tmp_path):
    """Its items are the lines of a JSON Lines output."""
    for name in ("out.json", "out.jsonl"):
        run(write(3), name)
    assert json.loads((tmp_path / "out.json").read_bytes()) == rows_of(tmp_path / "out.jsonl")
    run(write([]), "empty.json")
    assert json.loads((tmp_path / "empty.json").read_bytes()) == []


def test_a_run_has_the_ids_of_queries_and_documents(write, run, tmp_path):
    """One line for each result, best first, with the score of the response."""
    run(write(PASSAGES, "pairs.jsonl"), "out.trec")
    lines = [line.split() for line in (tmp_path / "out.trec").read_text().splitlines()]
    assert [line[:2] + line[3:4] for line in lines] == [["7", "Q0", "1"], ["7", "Q0", "2"], ["8", "Q0", "1"]]
    assert {line[2] for line in lines[:2]} == {"d1", "d2"}
    assert float(lines[0][4]) >= float(lines[1][4])
    run(write([{"id": "a b", "query": "q", "documents": ["d"]}]), "plain.jsonl")
    with pytest.raises(JobStoppedError, match="a run cannot hold the id 'a b'; choose another format"):
        run(write([{"id": "a b", "query": "q", "documents": ["d"]}]), "spaces.trec")


def test_ids_documents_and_other_fields_are_written_on_request(write, run, tmp_path):
    """Each result has its id and its document. Parquet has a type for each kept field."""
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    from cohere_rerank.files import ReadOptions

    source = write(PASSAGES, "pairs.jsonl")
    options = {"read": ReadOptions(keep=["source", "year"]), "with_ids": True, "with_documents": True}
    for name in ("out.jsonl", "out.parquet", "out.csv"):
        run(source, name, **options)
    rows = rows_of(tmp_path / "out.jsonl")
    assert [(row["id"], row["source"], row["year"]) for row in rows] == [("7", "wiki", 2020), ("8", "news", 2021.5)]
    texts = {"d1": "two", "d2": "one", "d3": "two"}
    assert all(texts[result["id"]] == result["document"] for row in rows for result in row["results"])
    table = parquet.read_table(tmp_path / "out.parquet")
    assert str(table.schema.field("year").type) == "double"
    assert [row["results"] for row in table.to_pylist()] == [row["results"] for row in rows]
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [(row["source"], row["year"]) for row in csv.DictReader(file)] == [("wiki", "2020"), ("news", "2021.5")]
    with pytest.raises(InvalidRequestError, match="keep cannot have results"):
        run(source, "other.jsonl", read=ReadOptions(keep=["results"]))
