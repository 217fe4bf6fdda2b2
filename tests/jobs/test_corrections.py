"""A job continues with a corrected command and with appended rows, and notices other changes of its input."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack

import pytest

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.jobs import JobError, JobStoppedError
from tests.fake_server import error, good_reply
from tests.jobs.conftest import rows_of

LINE = '{"query": "q", "documents": ["d"]}\n'


def has_errors(path):
    return ["error" in row for row in rows_of(path)]


@pytest.mark.parametrize("option", ["resume", "retry_errors"])
@pytest.mark.parametrize("output", ["out.jsonl", "out.csv"])
def test_a_corrected_command_starts_again_if_no_row_has_results(write, run, server, tmp_path, output, option):
    """The errors of the wrong command are dropped, and its rows are sent again."""
    source = write(5)
    server.default = error(404, "no such model")
    assert run(source, output, model="wrong").failed == 5
    server.default = good_reply()
    report = run(source, output, model="right", top_n=1, **{option: True})
    assert (report.rows, report.failed) == (5, 0)
    assert [request.json["model"] for request in server.requests] == ["wrong"] * 5 + ["right"] * 5


def test_failed_rows_are_asked_again_with_corrected_options(write, run, server, tmp_path):
    """The results of before stay. Without retry_errors the command is refused, and the message says what to do."""
    source = write(3)
    server.script(good_reply(), error(400, "too long"), error(400, "too long"))
    assert run(source, concurrency=1).failed == 2
    before = rows_of(tmp_path / "out.jsonl")[0]
    with pytest.raises(JobError, match="max_tokens_per_doc was None, now 100; set retry_errors=True to keep the res"):
        run(source, max_tokens_per_doc=100, resume=True)
    assert run(source, max_tokens_per_doc=100, retry_errors=True).failed == 0
    assert [request.json.get("max_tokens_per_doc") for request in server.requests[3:]] == [100, 100]
    assert rows_of(tmp_path / "out.jsonl")[0] == before
    assert run(source, max_tokens_per_doc=100, resume=True).written == 0


def test_options_that_change_the_form_of_rows_are_refused_beside_results(write, run, server, tmp_path):
    """Rows of one output have one form, and a job never loses the file that its rows are in."""
    source = write(2)
    server.script(good_reply(), error(400, "no"))
    run(source, concurrency=1)
    before = (tmp_path / "out.jsonl").read_bytes()
    for options in ({"with_documents": True}, {"errors": tmp_path / "errors.jsonl"}):
        with pytest.raises(JobError, match=r"options have changed .*; choose another output$"):
            run(source, retry_errors=True, **options)
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.job"]


def test_only_appended_rows_are_answered(write, run, server, tmp_path):
    """This holds for a job that is done and for one that was stopped."""
    source = write(3)
    run(source)
    with source.open("a") as file:
        file.write(LINE * 2)
    assert run(source, resume=True).written == 2
    assert [row["row"] for row in rows_of(tmp_path / "out.jsonl")] == [1, 2, 3, 4, 5]
    assert len(server.requests) == 5
    assert run(source, resume=True).written == 0


def test_a_file_that_is_added_to_several_is_answered(write, run, server, tmp_path):
    """The files of before must be the same, and come first."""
    paths = [write(2, "a.jsonl"), write([LINE.strip()], "b.jsonl")]
    run(paths)
    paths.append(write([LINE.strip()] * 2, "c.jsonl"))
    assert run(paths, resume=True).written == 2
    with pytest.raises(JobError, match="the input has changed"):
        run(paths[::-1], resume=True)
    paths[0].write_text(LINE)
    with pytest.raises(JobError, match="the input has changed"):
        run(paths, resume=True)


def test_a_line_that_was_incomplete_is_a_change(write, run, server, tmp_path):
    """Its row may have been answered in part."""
    source = tmp_path / "in.jsonl"
    source.write_text(LINE + LINE.strip())
    run(source)
    source.write_text(LINE + LINE.strip() + " " + LINE)
    with pytest.raises(JobError, match="only complete lines may be appended"):
        run(source, resume=True)
    source.write_text(LINE * 3)
    assert run(source, resume=True).written == 1


def test_appended_pairs_are_a_change(run, server, tmp_path):
    """A pair may belong to a query that was answered."""
    source = tmp_path / "pairs.tsv"
    source.write_text("qid\tpid\tquery\tpassage\n1\t1\tq\tone\n")
    run(source)
    with source.open("a") as file:
        file.write("1\t2\tq\ttwo\n")
    with pytest.raises(JobError, match="the input has changed"):
        run(source, resume=True)


def test_rows_appended_to_a_finished_job_without_a_journal_are_a_new_job(write, run, server, tmp_path):
    """The message says so, and the files stay."""
    source = write(2)
    run(source, "out.csv")
    before = (tmp_path / "out.csv").read_bytes()
    with source.open("a") as file:
        file.write(LINE)
    with pytest.raises(JobError, match="copy the new rows to another file"):
        run(source, "out.csv", resume=True)
    assert (tmp_path / "out.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message", "can_resume"),
    [
        (lambda text: text + LINE, r"rows were appended to the input while the job ran; 3 rows are saved", True),
        (lambda text: text.replace("query 2", "other 2"), "results may belong to other rows", False),
    ],
)
def test_a_change_during_the_run_is_noticed_at_the_end(write, run, server, tmp_path, change, message, can_resume):
    """The answers are saved. Appended rows are answered by the next run."""
    source = write(3)

    def change_input(held):
        server.wait_until(lambda s: s.n_in_flight == 3)
        source.write_text(change(source.read_text()))
        held.close()

    with ExitStack() as held:
        held.enter_context(server.hold_replies())
        thread = threading.Thread(target=change_input, args=(held,))
        thread.start()
        with pytest.raises(JobStoppedError, match=message):
            run(source)
    thread.join()
    assert len(rows_of(tmp_path / "out.jsonl")) == 3
    if can_resume:
        assert run(source, resume=True).rows == 4
    else:
        with pytest.raises(JobError, match="the input has changed"):
            run(source, resume=True)


@pytest.mark.parametrize(
    "options",
    [{"top_n": 0}, {"max_tokens_per_doc": -1}, {"rank_fields": [5]}, {"min_score": float("nan")}, {"priority": 5000}],
)
def test_values_for_the_whole_job_are_checked_before_anything_is_written(write, run, server, tmp_path, options):
    """A wrong value is one error, and not one for each row."""
    source = write(3)
    with pytest.raises(InvalidRequestError, match=next(iter(options))):
        run(source, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]
    assert server.requests == []


def test_fields_to_rank_by_may_be_nested(write, run, server, tmp_path):
    """The check of the shared values does not refuse them."""
    source = write([{"query": "q", "documents": [{"meta": {"title": "t"}, "text": "d"}]}])
    assert run(source, rank_fields=["meta.title", "text"]).failed == 0


def test_empty_documents_can_be_skipped(write, run, server, tmp_path):
    """The indices are those of the input, and a row with only empty documents has no results."""
    rows = [{"query": "q", "documents": ["", "one", None, "two"]}, {"query": "q", "documents": [" ", None]}]
    assert run(write(rows), on_empty="skip").failed == 0
    first, second = rows_of(tmp_path / "out.jsonl")
    assert sorted(result["index"] for result in first["results"]) == [1, 3]
    assert second["results"] == []
    assert [json.loads(request.body)["documents"] for request in server.requests] == [["one", "two"]]
