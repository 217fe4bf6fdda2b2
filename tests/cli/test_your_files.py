"""Each command of the page "Your files" ranks the sample that the page shows beside it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files" / "index.md"
LINE = re.compile(r"^\| (?P<name>[^|]+) \| (?P<sample>`[^|]*`) \| `(?P<command>cohere-rerank [^|]*)` \|$", re.MULTILINE)
SETUP = re.compile(r"^(?:> |\$ (?=printf|cat > ))(.*)$", re.MULTILINE)


def shown(text):
    """Return (name, sample, command) for each line of the tables. A code span is a line of the sample."""
    return [
        (name, "".join(f"{line}\n" for line in re.findall(r"`([^`]*)`", sample)).replace("⇥", "\t"), command)
        for name, sample, command in LINE.findall(text)
    ]


SHAPES = shown(PAGE.read_text(encoding="utf-8"))


FILE = re.compile(r"(?!out\.)[\w.-]+\.(jsonl?|csv|tsv|txt|parquet|arrow|trec)(\.\w+)?|part.*")


def sample_file(folder, args):
    """Return the path of the sample: the file of the command that no session of the page has written."""
    (name,) = [each for each in args if FILE.fullmatch(each) and not (folder / each).exists()]
    if name.endswith("/"):
        (folder / name).mkdir()
        (folder / name / "_SUCCESS").touch()
        return folder / name / "part-00000.jsonl"
    return folder / name


def write_sample(path, sample, encoding):
    """Write the sample in the format and compression that the name of the file says."""
    if path.suffix in (".parquet", ".arrow"):
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.Table.from_pylist([json.loads(line) for line in sample.splitlines()])
        if path.suffix == ".parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, path)
        else:
            pytest.importorskip("pyarrow.feather").write_feather(table, str(path), compression="uncompressed")
        return
    content = sample.encode(encoding)
    if path.suffix == ".zst":
        module = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        content = pytest.importorskip(module).compress(content)
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(compress(content))


def ranking(output, text):
    """Return the documents of the first row, the best first: the index, or the id in a run."""
    if output.endswith(".parquet"):
        (row, *_) = pytest.importorskip("pyarrow.parquet").read_table(output).to_pylist()
        return [result["index"] for result in row["results"]]
    if output.endswith(".trec"):
        return [line.split()[2] for line in text.splitlines()]
    if output.endswith(".json"):
        return [result["index"] for result in json.loads(text)[0]["results"]]
    rows = [json.loads(line) for line in text.splitlines()]
    return [result["index"] for result in rows[0].get("results", rows)]  # `rank` prints a line for each result


@pytest.fixture(scope="module")
def files_of_the_sessions():
    """The shell commands of the page that write files."""
    if not Path("/bin/bash").exists():
        pytest.skip("the sessions need bash")
    return "\n".join(SETUP.findall(PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("name", "sample", "command"), SHAPES, ids=[name for name, _, _ in SHAPES])
def test_the_command_of_each_shape_ranks_its_sample(
    run, tmp_path, monkeypatch, files_of_the_sessions, name, sample, command
):
    """A reader who has such a file and types the command gets the right document first."""
    if re.search(r"\.(parquet|arrow)\b", command):
        pytest.importorskip("pyarrow")
    subprocess.run(["bash", "-c", files_of_the_sessions], cwd=tmp_path, check=True, timeout=30)
    monkeypatch.setenv("CO_API_URL", "local:")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)  # one core: no process has to start
    args = shlex.split(command)[1:]
    path = sample_file(tmp_path, args)
    encoding = args[args.index("--encoding") + 1] if "--encoding" in args else "utf-8"
    write_sample(path, sample, "utf-16" if "utf-16" in path.name else encoding)
    given = path.read_bytes() if "<" in args else None
    done = run(*(args[: args.index("<")] if given else args), input=given)
    assert done.exit_code == 0, done.output
    if args[0] == "eval":  # as the run has it, the relevant document is second; the local scorer has it first
        (system,) = json.loads(done.stdout)["systems"].values()
        assert system["map"]["mean"] == (0.5 if "--qrels" in args else 1.0)
        return
    output = args[args.index("-o") + 1] if "-o" in args else "-"
    text = (
        done.stdout if output == "-" else "" if output.endswith(".parquet") else (tmp_path / output).read_text("utf-8")
    )
    is_best_first = -1 < sample.find("Vinegar") < sample.find("A metal")  # the texts of a run are in the corpus
    expected = [0, 1] if is_best_first else [1, 0]
    assert ranking(output, text) == (["ab"[index] for index in expected] if output.endswith(".trec") else expected)


def test_every_line_with_a_command_is_tested():
    """A line of a table with a command that the pattern above does not read would not be tested."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\|.*`cohere-rerank ", line)]
    assert len(lines) == len(SHAPES) > 40
