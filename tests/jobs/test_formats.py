"""The formats that a job reads and writes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.jobs import JobError, JobStoppedError
from cohere_rerank.jobs.files import format_of
from cohere_rerank.jobs.formats import open_reader
from tests.jobs.conftest import rows_of


class ZstdError(Exception):
    """The error of the standard library from Python 3.14 on."""


def read(path):
    """Return the records of a file with their numbers, or the error of a broken record."""
    reader, found = open_reader(path), []
    for number, raw in reader:
        try:
            found.append((number, reader.parse(raw)))
        except InvalidRequestError as error:
            found.append((number, error.message))
    return found


def test_each_line_of_jsonl_is_a_record_with_the_number_of_its_line(tmp_path):
    """Blank lines count but are not records. The last line needs no line break, and a byte order mark is removed."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"b": "\xc3\xa9"}')
    assert read(path) == [(1, {"a": 1}), (4, {"b": "é"})]


def test_a_broken_line_is_reported_with_its_error_and_without_its_text(tmp_path):
    """Incomplete JSON, bytes that are not UTF-8, and values that JSON does not have cost only their own line."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"secret": "x\n{"secret": "\xff"}\n[NaN]\n{"a": 1}\n' + b"[" * 10_000)
    found = read(path)
    assert [number for number, _ in found] == [1, 2, 3, 4, 5]
    assert found[1][1] == "not UTF-8: byte 0xff at column 13"
    assert found[3][1] == {"a": 1}
    for _, message in (found[0], found[2], found[4]):
        assert message.startswith("not JSON: ")
        assert "secret" not in message
        assert " at column " in message
        assert "line" not in message  # its number is the record's


def test_a_file_in_utf_16_is_refused_as_a_whole(tmp_path):
    """One error names the encoding, because every line would be broken."""
    for name in ("in.jsonl", "in.csv"):
        path = tmp_path / name
        path.write_text('{"a": 1}\n', encoding="utf-16")
        with pytest.raises(JobError, match="UTF-16"):
            read(path)


def test_gzip_is_decompressed_and_a_cut_file_names_the_last_good_line(tmp_path):
    """The lines before the damage are read."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert [record for _, record in read(path)] == [{"a": 1}, {"a": 2}]
    path.write_bytes(gzip.compress(b"".join(b'{"a": %d}\n' % n for n in range(100_000)))[:-2000])
    with pytest.raises(JobError, match=r"in\.jsonl\.gz: broken after line \d\d+"):
        read(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(JobError, match="broken after line 0"):
        read(path)


def test_csv_has_json_in_the_cells_of_lists_and_numbers(tmp_path):
    """The first record names the columns.

    Ids stay text, empty cells are absent, and quoted cells may contain line breaks.
    """
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        cells = csv.writer(file)
        cells.writerow(["id", "query", "documents", "top_n"])
        cells.writerow(["007", "two\nlines, é", json.dumps(["a" * 200_000]), "2"])
        cells.writerow(["008", "q", '["b"]', ""])
        cells.writerow(["009", "q", "not a list", ""])
        cells.writerow(["010", "q"])
    limit = csv.field_size_limit()
    found = read(path)
    assert found[0] == (1, {"id": "007", "query": "two\nlines, é", "documents": ["a" * 200_000], "top_n": 2})
    assert found[1] == (2, {"id": "008", "query": "q", "documents": ["b"]})
    assert "documents must be JSON" in found[2][1]
    assert found[2][1].endswith(" at column 2")
    assert found[3] == (4, "the row has 2 cells, but the first record names 4")
    assert csv.field_size_limit() == limit


def test_a_broken_csv_record_costs_only_itself(tmp_path):
    """Bytes that are not UTF-8 and a misplaced quote do not affect the next record."""
    path = tmp_path / "in.csv"
    path.write_bytes(b'query,documents\n\xff,"[""a""]"\nq,"[""a""]"x\nq,"[""b""]"\n')
    found = read(path)
    assert "[" not in found[1][1]
    assert found[0] == (1, "query is not UTF-8")
    assert found[1][1].startswith("broken CSV: ")
    assert found[2] == (3, {"query": "q", "documents": ["b"]})


def test_csv_without_the_required_columns_is_refused(tmp_path):
    """One error names the columns, because no row could be valid."""
    path = tmp_path / "in.csv"
    path.write_text("id,question\n1,q\n")
    with pytest.raises(JobError, match="query and documents"):
        read(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (b'id,"query,documents', "broken CSV"),
        ("id,quéry,query,documents".encode("latin-1"), "not UTF-8"),
        (b"id,query,documents,query", "more than one column is named query"),
    ],
)
def test_csv_with_unclear_column_names_is_refused(tmp_path, run, names, message):
    """A broken name, a name that is not UTF-8, and a duplicate argument are errors.

    Other names may be empty or repeated.
    """
    path = tmp_path / "in.csv"
    path.write_bytes(names + b'\n1,q,"[""a""]",r\n')
    with pytest.raises(JobError, match=message) as refused:
        run(path)
    assert not isinstance(refused.value, JobStoppedError)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]  # so nothing has begun
    path.write_bytes(b'id,query,documents,,\n1,q,"[""a""]",,\n')
    assert read(path) == [(1, {"id": "1", "query": "q", "documents": ["a"]})]


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
        ("in.jsonl.zst", ZstdError("checksum"), "broken after line 3: checksum"),
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

    monkeypatch.setattr("cohere_rerank.jobs.formats.open_file", failing)
    monkeypatch.setattr("cohere_rerank.jobs.formats.require_zstd", lambda: SimpleNamespace(ZstdError=ZstdError))
    with pytest.raises(JobStoppedError, match=rf"{message}; 3 rows are saved .* resume"):
        run(tmp_path / name)


def test_parquet_has_lists_of_texts_or_of_objects_or_json(tmp_path):
    """Columns are arguments, and nulls are absent."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    path = tmp_path / "in.parquet"
    rows = [{"id": 1, "query": "q", "documents": ["a", "b"]}, {"id": None, "query": "r", "documents": ["c"]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=1)
    assert read(path) == [(1, rows[0]), (2, {"query": "r", "documents": ["c"]})]
    parquet.write_table(pyarrow.Table.from_pylist([{"query": "q", "documents": [{"title": "t"}]}]), path)
    assert read(path) == [(1, {"query": "q", "documents": [{"title": "t"}]})]
    parquet.write_table(pyarrow.Table.from_pylist([{"query": "q", "documents": '["a"]'}]), path)
    assert read(path) == [(1, {"query": "q", "documents": ["a"]})]
    path.write_bytes(b"PAR1 is how one begins")
    with pytest.raises(JobError, match="broken after row 0"):
        read(path)


@pytest.mark.parametrize("name", ["in", "in.txt", "in.gz", "in.parquet.gz", "in.jsonl.bz2"])
def test_a_file_name_without_a_known_ending_is_refused(tmp_path, name):
    """The error lists the endings."""
    with pytest.raises(InvalidRequestError, match=r"\.jsonl"):
        format_of(tmp_path / name)


def test_a_missing_input_and_a_folder_are_refused(tmp_path):
    """The error names the path and the reason."""
    with pytest.raises(JobError, match="no such file"):
        open_reader(tmp_path / "in.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(JobError, match="not a regular file"):
        open_reader(tmp_path / "folder.jsonl")


def test_zstd_works_where_python_has_it_and_is_refused_elsewhere(tmp_path, write, run):
    """The error names the Python version that is needed."""
    if sys.version_info < (3, 14):
        with pytest.raises(JobError, match=r"3\.14"):
            run(write(1), "out.jsonl.zst")
        path = tmp_path / "in.jsonl.zst"
        path.touch()
        with pytest.raises(JobError, match=r"3\.14"):
            open_reader(path)
        return
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]

    path = tmp_path / "in.jsonl.zst"
    path.write_bytes(zstd.compress(write(3).read_bytes()))
    run(path, "out.jsonl.zst")
    assert zstd.decompress((tmp_path / "out.jsonl.zst").read_bytes()).count(b"\n") == 3


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
            patched.setattr("cohere_rerank.jobs.output._flat_row", Mock(side_effect=failure))
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
