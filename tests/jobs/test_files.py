"""A job and the files of other programs: it follows no link, waits for no pipe, and replaces only what it wrote."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from contextlib import ExitStack, suppress

import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.jobs import JobError, JobStoppedError, run_job
from tests.fake_server import error
from tests.jobs.conftest import rows_of

pytestmark = pytest.mark.timeout(60)
SIDE_FILES = ("job", "part", "spare", "tmp")


def try_to_run(run, source, name, **options):
    """Run a job that may refuse its files."""
    with suppress(JobError):
        run(source, name, **options)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("suffix", SIDE_FILES)
def test_a_users_file_with_the_name_of_a_side_file_is_kept(write, run, tmp_path, name, suffix, resume):
    """A job neither deletes nor overwrites it."""
    users_file = tmp_path / f"{name}.{suffix}"
    users_file.write_text("mine\n")
    try_to_run(run, write(2), name, resume=resume)
    assert users_file.read_text() == "mine\n"


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("suffix", SIDE_FILES)
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_with_the_name_of_a_side_file_is_not_followed(write, run, tmp_path, name, suffix, exists):
    """The file that it points to is neither changed nor created."""
    target = tmp_path / "target"
    if exists:
        target.touch()
    (tmp_path / f"{name}.{suffix}").symlink_to(target)
    for resume in (False, True):
        try_to_run(run, write(2), name, resume=resume)
    assert target.exists() is exists
    assert not exists or target.read_bytes() == b""


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("suffix", ["job", "part"])
def test_a_hard_link_with_the_name_of_a_side_file_is_refused(write, run, tmp_path, name, suffix):
    """A write to it would change the user's file."""
    (tmp_path / "mine").touch()
    os.link(tmp_path / "mine", tmp_path / f"{name}.{suffix}")
    try_to_run(run, write(2), name)
    assert (tmp_path / "mine").read_bytes() == b""


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("ending", ["", *(f".{suffix}" for suffix in SIDE_FILES)])
def test_a_pipe_does_not_hang_a_job(write, run, tmp_path, name, ending):
    """A pipe without a reader would block every program that opens it for writing."""
    os.mkfifo(tmp_path / f"{name}{ending}")
    try_to_run(run, write(2), name)
    assert stat.S_ISFIFO((tmp_path / f"{name}{ending}").stat().st_mode)


def test_side_files_are_private_and_outputs_have_the_usual_permissions(write, run, server, tmp_path):
    """The state and the rows of an unfinished output belong to their user alone."""
    before = os.umask(0o022)
    try:
        server.default = error(400, "no")
        run(write(1), "out.csv")
        run(write(1), "out.jsonl")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("out.*")}
    assert modes == {
        "out.csv": 0o644,
        "out.csv.job": 0o600,
        "out.csv.part": 0o600,
        "out.jsonl": 0o644,
        "out.jsonl.job": 0o600,
    }


def test_a_rewritten_output_keeps_its_permissions(write, run, server, tmp_path):
    """The rows are sorted at the end, in a new file."""
    server.script(error(400, "no"))
    source = write(2)
    run(source, concurrency=1)
    (tmp_path / "out.jsonl").chmod(0o640)
    assert run(source, concurrency=1, retry_errors=True).failed == 0
    assert [row["row"] for row in rows_of(tmp_path / "out.jsonl")] == [1, 2]
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o640


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_an_output_that_is_the_input_under_another_name_is_refused(write, run, tmp_path, link):
    """A symbolic or a hard link leads to the same file."""
    source = write(2)
    content = source.read_bytes()
    link(source, tmp_path / "other.jsonl")
    for options in ({"output": "other.jsonl"}, {"errors": tmp_path / "other.jsonl"}):
        with pytest.raises(JobError, match="must be different files"):
            run(source, resume=True, **options)
    assert source.read_bytes() == content
    assert not list(tmp_path.glob("*.job"))


@pytest.mark.parametrize("value", ["out\0.jsonl", 3, b"out.jsonl", None])
def test_a_path_that_is_not_a_path_is_an_invalid_argument(write, value):
    """A null character, a number, bytes and None."""
    with pytest.raises(InvalidRequestError, match="output must be a path"):
        run_job(write(1), value, model="m")


def test_a_path_that_no_system_can_have_is_a_job_error(write, run, tmp_path):
    """A name that is too long, and links that lead in a circle."""
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    for name in ("a.jsonl", "x" * 300 + ".jsonl", "x" * 248 + ".jsonl"):
        with pytest.raises(JobError, match="cannot be"):
            run(write(1), name)


@pytest.mark.parametrize("name", ["out.jsonl", "errors.jsonl"])
def test_a_file_that_appears_during_the_job_is_not_replaced(write, run, server, tmp_path, name):
    """Neither the output nor the errors file. The rows are saved, and the job resumes when the file is moved."""
    source, errors, holding = write(2), tmp_path / "errors.jsonl", ExitStack()

    def create_file():
        server.wait_until(lambda s: len(s.requests) == 2)
        (tmp_path / name).write_text("mine\n")
        holding.close()

    holding.enter_context(server.hold_replies())
    thread = threading.Thread(target=create_file)
    thread.start()
    with pytest.raises(JobStoppedError, match=rf"{name}: cannot be written: another program has changed this file"):
        run(source, errors=errors)
    thread.join()
    with pytest.raises(JobError, match=rf"{name}: this job has not written this file"):
        run(source, errors=errors, resume=True)
    assert (tmp_path / name).read_text() == "mine\n"
    (tmp_path / name).rename(tmp_path / "mine")
    assert run(source, errors=errors, resume=True).rows == 2
    assert len(server.requests) == 2


def test_two_jobs_with_one_errors_file_do_not_replace_each_others_errors(write, run, server, tmp_path):
    """The second job is refused at its start, and also when it resumes."""
    source, errors = write(2), tmp_path / "errors.jsonl"
    server.default = error(400, "no")
    run(source, "one.jsonl", errors=errors)
    content = errors.read_bytes()
    for resume in (False, True):
        with pytest.raises(JobError, match=r"errors\.jsonl: exists already"):
            run(source, "two.jsonl", errors=errors, resume=resume)
    assert errors.read_bytes() == content
    assert run(source, "one.jsonl", errors=errors, retry_errors=True).failed == 2


def test_two_running_jobs_cannot_have_one_errors_file(write, run, server, tmp_path):
    """The second one is refused while the first one runs, although the file does not exist yet."""
    source, errors, refusals = write(2), tmp_path / "errors.jsonl", []

    def run_second():
        server.wait_until(lambda s: len(s.requests) == 2)
        try:
            run(source, "two.jsonl", errors=errors)
        except JobError as refused:
            refusals.append(str(refused))
        finally:
            holding.close()

    holding = ExitStack()
    holding.enter_context(server.hold_replies())
    thread = threading.Thread(target=run_second)
    thread.start()
    assert run(source, "one.jsonl", errors=errors).rows == 2
    thread.join()
    assert ["another job is writing this file" in refusal for refusal in refusals] == [True]
    assert {path.name for path in tmp_path.iterdir()} == {"errors.jsonl", "in.jsonl", "one.jsonl", "one.jsonl.job"}


def test_an_errors_file_that_is_the_output_of_another_job_is_refused(write, run, server, tmp_path):
    """Its state file says so, even if the output itself was moved."""
    source = write(2)
    run(source, "one.csv")
    (tmp_path / "one.csv").unlink()
    state = (tmp_path / "one.csv.job").read_bytes()
    with pytest.raises(JobError, match=r"one\.csv\.job: it belongs to another job or program"):
        run(source, "two.csv", errors=tmp_path / "one.csv")
    assert (tmp_path / "one.csv.job").read_bytes() == state
    assert not (tmp_path / "two.csv.job").exists()


def test_an_id_that_is_a_formula_is_text_with_csv_safe(write, run, tmp_path):
    """A spreadsheet runs a cell that starts with one of these characters. Numbers stay as they are."""
    formulas = ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", " =1", "\uff1d1"]
    plain = ["a=b", "1-2", "O'Neil", "", -5]
    rows = [{"id": name, "query": "q", "documents": ["d"]} for name in [*formulas, *plain]]
    source = write(rows)
    import csv

    def ids(name, **options):
        run(source, name, **options)
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            return [row["id"] for row in csv.DictReader(file)]

    assert ids("plain.csv") == [*formulas, *map(str, plain)]
    assert ids("safe.csv", csv_safe=True) == [*(f"'{name}" for name in formulas), *map(str, plain)]
    with pytest.raises(InvalidRequestError, match="csv_safe needs an output or an errors file in CSV"):
        run(source, "safe.jsonl", csv_safe=True)


@pytest.fixture
def full_disk(tmp_path):
    """Mount a file system of 8 MB, and yield its folder and a function that fills it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")

    def fill():
        with (disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    yield disk, fill
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_full_disk_at_the_start_names_the_file(write, run, server, full_disk, name):
    """The error is not a traceback, nothing is sent, and no side file is left."""
    disk, fill = full_disk
    fill()
    with pytest.raises(JobError, match=rf"disk/{name}\.job: cannot be written: No space left on device"):
        run(write(2), f"disk/{name}")
    assert server.requests == []
    assert [path.name for path in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_finished_job_needs_no_free_space(write, run, server, full_disk, name):
    """Resuming it does nothing on a full disk."""
    _, fill = full_disk
    source = write(2)
    run(source, f"disk/{name}")
    fill()
    assert run(source, f"disk/{name}", resume=True).rows == 2
    assert len(server.requests) == 2


def test_rows_name_the_public_classes_of_errors(write, run, tmp_path):
    """A row and the most common error show a class that a program can import and catch."""
    options = {"client_options": {"base_url": "http://127.0.0.1:9", "max_retries": 0}}
    report = run(write(1), **options)
    assert rows_of(tmp_path / "out.jsonl")[0]["error"]["type"] == "ConnectionFailedError"
    assert report.most_common_error == "ConnectionFailedError (1 of 1)"
    assert JobStoppedError.__module__ == JobError.__module__ == "cohere_rerank.jobs"


def test_a_state_file_records_what_the_job_wrote(write, run, tmp_path):
    """Only a file with this content is replaced by a later run."""
    run(write(1), "out.csv")
    state = json.loads((tmp_path / "out.csv.job").read_text())
    assert [len(digest) for digest in state["written"]["output"]] == [32]
