"""Reading single files: formats, compressions and encodings, one record at a time."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma

import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files import FileError, ReadOptions
from cohere_rerank.files.json_values import split_values
from cohere_rerank.files.opening import open_records


def read(path, **options):
    """Return the records of a file with their numbers, or the error of a broken record."""
    reader, found = open_records(path, ReadOptions(**options)), []
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
    assert found[1][1].startswith("not UTF-8: byte 0xff at column 13; ")
    assert found[3][1] == {"a": 1}
    for _, message in (found[0], found[2], found[4]):
        assert message.startswith("not JSON: ")
        assert "secret" not in message
        assert " at column " in message
        assert "line" not in message  # its number is the record's


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    """UTF-16 and UTF-32 are read without an option."""
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    path = tmp_path / "in.jsonl"
    path.write_bytes((mark + '{"a": "é緑"}\r\n{"a": 2}\n').encode(encoding))
    assert read(path) == [(1, {"a": "é緑"}), (2, {"a": 2})]
    path = tmp_path / "in.csv"
    path.write_bytes((mark + "query,a\r\né緑,1\r\n").encode(encoding))
    assert read(path) == [(1, {"query": "é緑", "a": "1"})]


def test_another_encoding_is_an_option_and_is_never_guessed(tmp_path):
    """Without the option, the message names it. With a wrong one, the file is refused."""
    path = tmp_path / "in.csv"
    path.write_bytes("query,text\ncafé,“tea”\n".encode("cp1252"))
    assert "add --encoding cp1252" in read(path)[0][1]
    assert read(path, encoding="cp1252") == [(1, {"query": "café", "text": "“tea”"})]
    with pytest.raises(FileError, match="not ascii near byte 0; --encoding"):
        read(path, encoding="ascii")
    with pytest.raises(InvalidRequestError, match="encoding must be one that Python knows"):
        ReadOptions(encoding="latin-99")


def test_gzip_is_decompressed_and_a_cut_file_names_the_last_good_line(tmp_path):
    """The lines before the damage are read."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert [record for _, record in read(path)] == [{"a": 1}, {"a": 2}]
    path.write_bytes(gzip.compress(b"".join(b'{"a": %d}\n' % n for n in range(100_000)))[:-2000])
    with pytest.raises(FileError, match=r"in\.jsonl\.gz: broken after line \d\d+"):
        read(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(FileError, match="broken after line 0"):
        read(path)


def test_cells_of_a_table_are_text(tmp_path):
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
    assert found[0] == (
        1,
        {"id": "007", "query": "two\nlines, é", "documents": json.dumps(["a" * 200_000]), "top_n": "2"},
    )
    assert found[1] == (2, {"id": "008", "query": "q", "documents": '["b"]'})
    assert found[3] == (4, "the row has 2 cells, but the first line names 4")
    assert csv.field_size_limit() == limit


def test_a_broken_csv_record_costs_only_itself(tmp_path):
    """Bytes that are not UTF-8 and a misplaced quote do not affect the next record."""
    path = tmp_path / "in.csv"
    path.write_bytes(b'query,documents\n\xff,"[""a""]"\nq,"[""a""]"x\nq,"[""b""]"\n')
    found = read(path)
    assert "[" not in found[1][1]
    assert found[0][1].startswith("query is not UTF-8; ")
    assert found[1][1].startswith("broken CSV: ")
    assert found[2] == (3, {"query": "q", "documents": '["b"]'})


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
    assert read(path) == [(1, {"query": "q", "documents": '["a"]'})]
    path.write_bytes(b"PAR1 is how one begins")
    with pytest.raises(FileError, match="broken after row 0"):
        read(path)


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("is_named", [True, False])
def test_compressed_files_are_read_by_their_ending_or_their_first_bytes(tmp_path, ending, is_named):
    """A file without an ending is recognized too."""
    content = b'{"a": 1}\n{"a": 2}\n'
    if ending == ".zst":
        zstd = pytest.importorskip(
            "compression.zstd" if __import__("sys").version_info >= (3, 14) else "backports.zstd"
        )
    else:
        zstd = None
    packed = {
        "": lambda: content,
        ".gz": lambda: gzip.compress(content),
        ".bz2": lambda: bz2.compress(content),
        ".xz": lambda: lzma.compress(content),
        ".zst": lambda: zstd.compress(content),
    }[ending]()
    path = tmp_path / (f"in.jsonl{ending}" if is_named else "part-00000")
    path.write_bytes(packed)
    assert [record for _, record in read(path)] == [{"a": 1}, {"a": 2}]


VALUES = [{"a": 'é [}] \\ " ,'}, [1, [2]], "text", 3.5, None, {"b": {"c": []}}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 16])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("form", ["array", "values", "separated"])
def test_json_values_are_cut_at_any_size_of_the_chunks(monkeypatch, size, indent, form):
    """An array, values one after another, and pretty-printed values have the same items."""
    import io

    monkeypatch.setattr("cohere_rerank.files.json_values._CHUNK_BYTES", size)
    texts = [json.dumps(value, indent=indent, ensure_ascii=False) for value in VALUES]
    if form == "array":
        text = json.dumps(VALUES, indent=indent, ensure_ascii=False)
    else:
        text = ("\n" if form == "values" else "\n\x1e").join(text for text in texts if not text.startswith("["))
    wanted = [value for value in VALUES if form == "array" or not isinstance(value, list)]
    found = split_values(io.BytesIO(text.encode()), "in.json")
    assert [json.loads(value) for value in found] == wanted


@pytest.mark.parametrize("text", ['[{"a": 1}', '[{"a": 1} {"a": 2}]', '{"a": [1', "[1]]", '{"a": "x', "[1,,2]", ", 1"])
def test_json_that_is_cut_off_or_has_a_bracket_too_much_is_refused(tmp_path, text):
    """The message says after how many values."""
    path = tmp_path / "in.json"
    path.write_text(text + " " * 3)
    with pytest.raises(FileError, match=r"in\.json: broken JSON after \d values"):
        read(path, format="json")


def test_a_json_file_with_lines_loses_only_a_broken_line(tmp_path):
    """Each line is read by itself if the first one is complete."""
    path = tmp_path / "in.json"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    assert [number for number, record in read(path) if isinstance(record, dict)] == [1, 3]


def test_a_line_that_never_ends_is_refused(tmp_path, monkeypatch):
    """A file without line breaks does not fill the memory, nor does a quote that is never closed."""
    monkeypatch.setattr("cohere_rerank.files.readers.MAX_RECORD_BYTES", 1 << 20)
    monkeypatch.setattr("cohere_rerank.files.tables.MAX_RECORD_BYTES", 1 << 20)
    monkeypatch.setattr("cohere_rerank.files.json_values.MAX_RECORD_BYTES", 1 << 20)
    (tmp_path / "in.jsonl").write_text('{"a": "' + "x" * (2 << 20) + '"}')
    (tmp_path / "in.csv").write_text('query,text\nq,"' + "x\n" * (1 << 20))
    (tmp_path / "in.json").write_text('[{"a": "' + "x" * (2 << 20) + '"}]')
    for name in ("in.jsonl", "in.csv", "in.json"):
        with pytest.raises(FileError, match=r"longer than|larger than"):
            read(tmp_path / name)


@pytest.mark.parametrize("ending", ["arrow", "feather"])
def test_arrow_files_and_streams_are_read(tmp_path, ending):
    """Both have the same rows as Parquet."""
    pyarrow = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    table = pyarrow.Table.from_pylist([{"query": "q", "documents": ["a"]}, {"query": None, "documents": []}])
    path = tmp_path / f"in.{ending}"
    wanted = [(1, {"query": "q", "documents": ["a"]}), (2, {"documents": []})]
    feather.write_feather(table, path, compression="uncompressed")
    assert read(path) == wanted
    for new in (pyarrow.ipc.new_file, pyarrow.ipc.new_stream):
        with path.open("wb") as file, new(file, table.schema) as writer:
            writer.write_table(table)
        assert read(path) == wanted


def test_columns_of_one_name_are_refused(tmp_path):
    """A column would be lost."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    table = pyarrow.table([pyarrow.array(["q"]), pyarrow.array(["r"])], names=["query", "query"])
    parquet.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(FileError, match="more than one column is named query"):
        read(tmp_path / "in.parquet")
    (tmp_path / "in.csv").write_text("query,text,query\nq,t,r\n")
    with pytest.raises(FileError, match="more than one column is named query"):
        read(tmp_path / "in.csv")
    (tmp_path / "in.jsonl").write_text('{"query": "q", "text": "t", "query": "r"}\n{"text": "\\"query\\": 1"}\n')
    assert read(tmp_path / "in.jsonl") == [(1, "the field query is there twice"), (2, {"text": '"query": 1'})]


@pytest.mark.parametrize("name", ["in.jsonl", "folder.jsonl"])
def test_a_missing_file_and_a_folder_are_refused(tmp_path, name):
    """The error names the path and the reason."""
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(FileError, match=r"no such file|not a regular file"):
        open_records(tmp_path / name, ReadOptions())


@pytest.mark.parametrize(
    ("content", "format"),
    [
        ('{"a": 1}\n', None),
        ('[{"a": 1}]', None),
        ("a\tb\n1\t2\n", None),
        ("a,b\n1,2\n", "csv"),
        ("q Q0 d 1 2.5 t\n", None),
    ],
)
def test_a_file_without_an_ending_is_recognized_or_needs_the_option(tmp_path, content, format):
    """JSON, tabs and runs are recognized. Commas need --format."""
    path = tmp_path / "part-00000"
    path.write_text(content)
    if format is not None:
        with pytest.raises(FileError, match="add --format"):
            open_records(path, ReadOptions())
    assert len(read(path, format=format)) == 1
