"""`cohere-rerank rank` reads documents from files and pipes, and prints a ranking as JSON Lines or as a table."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.terminal import on_terminal
from tests.fake_server import reply
from tests.fake_server import score as api_score

KEY = "secret-key-0123456789"
LINES = "Berlin is the capital of Germany\nParis is the capital of France\n\nLyon is large\n"
QUERY = "capital of France"


def ranked(done):
    """Return the parsed results of a run."""
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def places(done):
    return [result["place"] for result in ranked(done)]


def test_lines_of_standard_input_are_ranked(run):
    """The output in a pipe is JSON Lines with index, score, place and document, best first. Blank lines are skipped."""
    results = ranked(run("rank", QUERY, "--local", input=LINES))
    assert results[0].items() >= {"index": 1, "place": "-:2", "document": "Paris is the capital of France"}.items()
    assert [set(result) for result in results] == [{"index", "relevance_score", "place", "document"}] * 3
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)


def test_a_dash_is_standard_input_among_files(run, tmp_path):
    """Files are read in the order of the arguments, and the index counts over all of them."""
    (tmp_path / "a.txt").write_text("a tea\n")
    (tmp_path / "b.txt").write_text("b tea\n\n\nb 4 tea\n")
    results = ranked(run("rank", "tea", "a.txt", "-", "b.txt", "--local", input="from the pipe\n"))
    assert {result["index"]: result["place"] for result in results} == {
        0: "a.txt:1",
        1: "-:1",
        2: "b.txt:1",
        3: "b.txt:4",
    }


def test_scores_and_order_come_from_the_server(run, server):
    """The request has the query, the documents and the model. The response is printed unchanged."""
    server.keys = {KEY}
    environment = {"CO_API_KEY": KEY, "CO_API_URL": server.url}
    results = ranked(run("rank", "tea", "--model", "rerank-x", "-n", 2, input="one\ntwo\nthree\n", env=environment))
    wanted = sorted(["one", "two", "three"], key=lambda text: -api_score("tea", text))[:2]
    assert [result["document"] for result in results] == wanted
    assert [result["relevance_score"] for result in results] == [api_score("tea", text) for text in wanted]
    (request,) = server.requests
    assert request.json == {"model": "rerank-x", "query": "tea", "documents": ["one", "two", "three"], "top_n": 2}


def test_local_and_api_override_the_environment(run, server):
    """--local sends nothing, even with a key. --api does not use the local engine, even if CO_API_URL is local:."""
    run("rank", "tea", "--local", input="green\n", env={"CO_API_KEY": KEY, "CO_API_URL": server.url})
    assert server.requests == []
    done = run("rank", "tea", "--api", input="green\n", env={"CO_API_URL": "local:"})
    assert (done.exit_code, "CO_API_KEY" in done.stderr) == (2, True)


def test_timeout_limits_the_whole_call(run, server):
    """--timeout includes retries and waits. --max-retries sets the number of retries."""
    server.default = reply(503, json={"message": "overloaded"}, headers={"retry-after": "3600"})
    common = ["rank", "tea", "--base-url", server.url]
    done = run(*common, "--timeout", 5, input="green\n", env={"CO_API_KEY": KEY})
    assert done.exit_code == 1
    assert len(server.requests) == 1  # the server asks for an hour, which is longer than five seconds
    done = run(*common, "--max-retries", 0, input="green\n", env={"CO_API_KEY": KEY})
    assert (done.exit_code, len(server.requests)) == (1, 2)


def test_min_score_removes_lower_scores(run):
    """All remaining results have that score or a higher one."""
    everything = ranked(run("rank", QUERY, "--local", input=LINES))
    cut = everything[1]["relevance_score"]
    assert ranked(run("rank", QUERY, "--local", "--min-score", cut, input=LINES)) == everything[:2]


def test_json_lines_hold_texts_and_objects(run, tmp_path):
    """A .jsonl file can mix texts and objects. They are printed unchanged."""
    documents = [{"title": "tea", "id": 1}, "plain tea", {"title": "coffee", "note": "better than tea"}]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, documents)))
    results = ranked(run("rank", "tea", "d.jsonl", "--local"))
    assert {result["index"]: result["document"] for result in results} == dict(enumerate(documents))


def test_fields_are_sent_in_the_order_given(run, server, tmp_path):
    """--field chooses and orders the fields that are sent. The printed document has all fields."""
    row = {"id": 7, "title": "tea", "body": "green"}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    options = ["--base-url", server.url, "--field", "body", "--field", "title"]
    results = ranked(run("rank", "tea", "d.jsonl", *options, env={"CO_API_KEY": KEY}))
    assert server.requests[0].json["documents"] == ["body: green\ntitle: tea\n"]
    assert results[0]["document"] == row


def test_a_field_of_plain_text_is_rejected(run):
    """The program does not rank by something else than the field."""
    done = run("rank", "tea", "--local", "--field", "title", input="green tea\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--field" in done.stderr


def test_a_document_without_the_field_is_rejected_with_its_place(run):
    """The message names the option. Texts, and documents with one of several fields, are accepted."""
    lines = '{"text": "green tea", "id": 1}\n"plain tea"\n\n{"id": 2, "body": "secret"}\n'
    done = run("rank", "tea", "--local", "--field", "text", "--field", "note", input=lines)
    assert (done.exit_code, done.stdout) == (2, "")
    message = "-:4: the document has none of the fields of --field: 'text', 'note'"
    assert done.stderr == f"cohere-rerank: error: {message}\n"
    assert len(ranked(run("rank", "tea", "--local", "--field", "text", "--field", "body", input=lines))) == 3


@pytest.mark.parametrize(("name", "delimiter"), [("d.csv", ","), ("d.tsv", "\t"), ("D.CSV", ",")])
def test_rows_of_a_table_are_objects(run, tmp_path, name, delimiter):
    """The first line has the names. Quoted cells can have line breaks and delimiters. A byte order mark is removed."""
    text = f'\ufefftitle{delimiter}body\ntea{delimiter}"green{delimiter}\nof Japan"\ncoffee{delimiter}black\n'
    (tmp_path / name).write_text(text, encoding="utf-8")
    first, second = ranked(run("rank", "green tea of Japan", name, "--local"))
    assert first["document"] == {"title": "tea", "body": f"green{delimiter}\nof Japan"}
    assert (first["place"], second["place"]) == (f"{name}:2", f"{name}:4")


def test_the_place_of_a_row_is_its_first_line(run, tmp_path):
    """This is also true for rows with line breaks, after blank lines, and in errors."""
    table = 'title,body\n\ntea,"green\n\nof\nJapan"\n\n"cof\nfee",black\n'
    (tmp_path / "d.csv").write_text(table)
    results = ranked(run("rank", "tea", "d.csv", "--local"))
    assert {result["index"]: result["place"] for result in results} == {0: "d.csv:3", 1: "d.csv:8"}
    for wrong in ('"one\ncell"\n', '"never\n\nclosed'):
        (tmp_path / "d.csv").write_text(table + wrong)
        done = run("rank", "tea", "d.csv", "--local")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "error: d.csv:10: " in done.stderr


@pytest.mark.parametrize(
    ("name", "delimiter", "word"),
    [("d.csv", ";", "semicolons"), ("d.csv", "\t", "tabs"), ("d.tsv", ",", "commas"), ("d.csv", "|", "vertical bars")],
)
def test_another_delimiter_is_detected(run, tmp_path, name, delimiter, word):
    """The message says which one. Otherwise whole rows would be ranked as cells of one column."""
    (tmp_path / name).write_text(f"title{delimiter}body\ntea{delimiter}green\n")
    (result,) = ranked(run("rank", "tea", name, "--local"))
    assert (result["document"], result["place"]) == ({"title": "tea", "body": "green"}, f"{name}:2")
    (result,) = ranked(run("rank", "tea", name, "--local", "--delimiter", delimiter))
    assert result["document"] == {"title": "tea", "body": "green"}


@pytest.mark.parametrize("names", ['"title; and body"', '"title, and body"', "title and body"])
def test_a_table_may_have_one_column(run, tmp_path, names):
    """Its name can have a semicolon or a comma if it is in quotes."""
    (tmp_path / "d.csv").write_text(f"\ufeff{names}\ntea; green\n", encoding="utf-8")
    (result,) = ranked(run("rank", "tea", "d.csv", "--local"))
    assert result["document"] == {names.strip('"'): "tea; green"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("title,body,title", "d.csv: more than one column is named title"),
        ("title,,body", "d.csv:1: column 2 has no name"),
        ("title,body, ", "d.csv:1: column 3 has no name"),
    ],
)
def test_columns_without_a_unique_name_are_rejected(run, tmp_path, names, message):
    """Otherwise rows would lose a cell."""
    (tmp_path / "d.csv").write_text(f"{names}\ngreen,tea,leaves\n")
    done = run("rank", "tea", "d.csv", "--local")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr and "leaves" not in done.stderr


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("options", [[], ["--format", "jsonl"]], ids=["auto", "jsonl"])
def test_a_number_that_json_cannot_hold_is_rejected(run, number, options):
    """Otherwise the output would have Infinity or NaN, which other programs reject. The message names the line."""
    lines = '{"title": "tea", "price": 1.5e2}\n{"title": "coffee", "of": [{"price": ' + number + "}]}\n"
    done = run("rank", "tea", "--local", *options, input=lines)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "-:2: a number is beyond" in done.stderr or "-:2: not JSON" in done.stderr
    first = ranked(run("rank", "tea", "--local", input=lines.splitlines()[0]))
    assert first[0]["document"] == {"title": "tea", "price": 150.0}


def test_long_cells_are_read(run, tmp_path):
    """A cell can be longer than the default of the csv module, 131,072 characters."""
    (tmp_path / "d.csv").write_text("body\n" + "tea " * 50_000 + "\n")
    (result,) = ranked(run("rank", "tea", "d.csv", "--local"))
    assert len(result["document"]["body"]) == 200_000


def test_each_file_of_a_folder_is_a_document(run, tmp_path):
    """Folders below are read, except hidden ones. Files that are not text are skipped and counted."""
    for name, text in {"a.txt": "green tea\nin two lines", "sub/b.md": "black tea", ".git/c": "tea"}.items():
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(text)
    (tmp_path / "docs" / "image.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "docs" / "empty.txt").write_text("")
    done = run("rank", "green tea", "docs", "--local")
    assert places(done) == ["docs/a.txt", "docs/sub/b.md"]
    assert "docs: skipped 2 files (empty" in done.stderr
    (tmp_path / "docs" / "empty.txt").unlink()
    assert "docs: skipped 1 file (empty" in run("rank", "green tea", "docs", "--local").stderr


def test_whole_files_can_be_documents(run, tmp_path):
    """--format whole reads each file as one document."""
    (tmp_path / "a.md").write_text("tea\n\nof Japan\n")
    (result,) = ranked(run("rank", "tea", "a.md", "--local", "--format", "whole"))
    assert (result["document"], result["place"]) == ("tea\n\nof Japan\n", "a.md")


def test_piped_objects_are_json_lines_and_other_lines_are_text(run):
    """The first line of standard input decides its format. --format overrides that."""
    piped = '{"text": "green tea"}\n{"text": "coffee"}\n'
    assert [result["document"] for result in ranked(run("rank", "tea", "--local", input=piped))] == [
        {"text": "green tea"},
        {"text": "coffee"},
    ]
    as_lines = ranked(run("rank", "tea", "--local", "--format", "lines", input=piped))
    assert as_lines[0]["document"] == '{"text": "green tea"}'
    assert ranked(run("rank", "tea", "--local", input="[1, 2] cups of tea\n"))[0]["document"] == "[1, 2] cups of tea"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("d.jsonl", b'"tea"\n{"a": \n', "d.jsonl:2"),
        ("d.jsonl", b'"tea"\n\n7\n', "d.jsonl:3"),
        ("d.jsonl", b'"tea"\n{}\n', "d.jsonl:2"),
        ("d.jsonl", b'"tea"\n' + b"[" * 100_000, "d.jsonl:2"),
        ("d.csv", b"a,b\n1,2\n3\n", "d.csv:3"),
        ("d.csv", b"a,b\n1,2,3\n", "d.csv:2"),
        ("d.csv", b'a,b\n1,"2\n', "d.csv"),
        ("d.txt", b"tea\nth\xe9\n", "d.txt:2"),
        ("d.csv", b"a\nth\xe9\n", "d.csv"),
    ],
)
def test_an_unreadable_document_is_named_with_its_place(run, tmp_path, name, data, message):
    """The message is one line with file and line number, the exit code is 2, and no document is shown."""
    (tmp_path / name).write_bytes(data)
    done = run("rank", "tea", name, "--local")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_documents_give_no_results(run):
    """An empty input is not an error. A message reports it."""
    done = run("rank", "tea", "--local", input="\n \n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no documents" in done.stderr


def test_spans_are_in_the_json(run):
    """--spans prints the position, score and text of each passage."""
    (result,) = ranked(
        run("rank", "capital of France", "--local", "--spans", input="Lyon is large. Paris, the capital of France.\n")
    )
    spans = result["relevant_spans"]
    assert spans
    for span in spans:
        assert result["document"][span["start"] : span["end"]] == span["text"]
    assert "France" in spans[0]["text"]


def test_json_is_always_utf8(start):
    """JSON Lines are UTF-8 by definition. A table replaces characters that the encoding does not have."""
    document = "緑茶 tea ☕ été\n".encode()
    for form, wanted in (("--json", "緑茶 tea ☕ été".encode()), ("--table", b"?? tea ? \xe9t\xe9")):
        process = start("rank", "tea", "--local", form, env={"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"})
        out, message = process.communicate(document, timeout=60)
        assert process.returncode == 0, message
        assert wanted in out


def test_warnings_of_the_server_go_to_standard_error(run, server):
    """Each is one line there, and the data stays clean."""
    body = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"warnings": ["model is\ndeprecated\x1b[2J"]}}
    server.script(reply(200, json=body))
    done = run("rank", "tea", "--base-url", server.url, input="green\n", env={"CO_API_KEY": KEY})
    assert len(ranked(done)) == 1
    assert done.stderr == "cohere-rerank: model is deprecated [2J\n"


COLOR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def teas(tmp_path):
    """A file with a document that is longer than a line, and one with control characters."""
    (tmp_path / "teas.txt").write_text("green tea\ncoffee " + "and more " * 50 + "\ntea\x1b[2J\x07 \u202eback\n")
    return tmp_path / "teas.txt"


@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_gets_a_table_as_wide_as_it_is(teas, columns):
    """Each result is one line with rank, score, bar, place and the start of the text."""
    shown, code = on_terminal("rank", "green tea", teas, "--local", columns=columns)
    assert code == 0
    lines = [
        line.rstrip("\r") for line in COLOR.sub("", shown).split("\n") if line.strip() and "cohere-rerank:" not in line
    ]
    assert lines[0].split() == ["#", "score", "place", "document"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert "█" in lines[1]
    assert "teas.txt:1  green tea" in lines[1]  # of a long place, the end is shown
    assert [line for line in lines if "…" in line]
    assert {len(line) for line in lines} == {columns}


def test_documents_cannot_control_the_terminal(teas):
    """Escape sequences and changes of the writing direction are printed as spaces."""
    shown, _ = on_terminal("rank", "tea", teas, "--local")
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


def test_no_color_turns_colours_off(teas):
    """With NO_COLOR the table is the same, without a colour code."""
    coloured, _ = on_terminal("rank", "green tea", teas, "--local", "--spans")
    plain, code = on_terminal("rank", "green tea", teas, "--local", "--spans", env={"NO_COLOR": "1"})
    assert code == 0
    codes = {code for sequence in re.findall(r"\x1b\[([0-9;]*)m", plain) for code in sequence.split(";")}
    assert not {code for code in codes if code.startswith(("3", "4", "9", "10"))} - {"3", "4"}  # italic, underlined
    assert COLOR.sub("", plain) == COLOR.sub("", coloured) != coloured


PARIS = "Lyon. Paris is the capital of France. Berlin."


def test_spans_are_in_brackets_without_colours(run):
    """This is so in a pipe. A table without --spans has no brackets."""
    shown = run("rank", QUERY, "--local", "--spans", "--table", input=PARIS).stdout
    assert "Lyon. [Paris is the capital of France.] Berlin." in shown
    assert "[" not in run("rank", QUERY, "--local", "--table", input=PARIS).stdout


@pytest.mark.parametrize(
    ("environment", "has_brackets"), [({"TERM": "dumb"}, True), ({}, False)], ids=["dumb", "color"]
)
def test_a_terminal_without_colours_shows_brackets(tmp_path, environment, has_brackets):
    """A terminal with colours shows no brackets. For rich, a dumb terminal always has 80 columns."""
    (tmp_path / "d.txt").write_text(PARIS)
    shown, code = on_terminal("rank", QUERY, tmp_path / "d.txt", "--local", "--spans", columns=120, env=environment)
    assert code == 0
    assert (" [Paris is the cap" in shown) == has_brackets
    assert ("\x1b[1;32mParis is the capital of France.\x1b[0m" in shown) == (not has_brackets)


@pytest.mark.parametrize(
    ("document", "span", "shown"),
    [
        ("words before the NEEDLE in it and more", "NEEDLE in it", "words before the [NEEDLE in it] and more"),
        ("x " * 50 + "before the NEEDLE in it " + "y " * 50, "NEEDLE in it", "…before the [NEEDLE in it] y y "),
        ("x " * 50 + "somewhat before NEEDLE in it", "NEEDLE in it", "…before [NEEDLE in it]"),
        ("x" * 100 + " NEEDLE in it", "NEEDLE in it", "…[NEEDLE in it]"),
        ("首都" * 40 + "針はここ" + "首都" * 3, "針はここ", "…[針はここ]首都首都首都"),
        ("NEEDLE in it" + " y" * 50, "NEEDLE in it" + " y" * 50, "[NEEDLE in it y y"),
        ("首都" * 15 + "。針はここ", "針はここ", "…[針はここ]"),
    ],
    ids=["in view", "far", "after a long word", "after a longer", "in Japanese", "longer than the line", "wide"],
)
def test_an_excerpt_starts_at_a_word_near_the_passage(run, server, tmp_path, document, span, shown):
    """It starts with the document if the passage is visible then. It never starts inside a word."""
    (tmp_path / "d.txt").write_text(document)
    at = document.index(span)
    spans = [{"start": at, "end": at + len(span), "score": 0.5}]
    server.script(reply(200, json={"results": [{"index": 0, "relevance_score": 0.5, "relevant_spans": spans}]}))
    options = ["--base-url", server.url, "--spans", "--table"]
    done = run("rank", "NEEDLE", "d.txt", *options, env={"CO_API_KEY": KEY, "COLUMNS": "80"})
    assert f"d.txt:1  {shown}" in done.stdout


def test_overlapping_unordered_and_invalid_spans_are_marked_once(run, server):
    """Other servers may send such spans, or count in bytes. The best span comes first."""
    pairs = [(80, 90), (6, 9), (0, 3), (2, 5), (0, 2), (12, 14)]
    spans = [{"start": start, "end": end, "score": 0.5} for start, end in pairs]
    server.script(reply(200, json={"results": [{"index": 0, "relevance_score": 0.5, "relevant_spans": spans}]}))
    options = ["--base-url", server.url, "--spans", "--table"]
    done = run("rank", "tea", *options, input="012345678901\n", env={"CO_API_KEY": KEY})
    assert "  [012][34]5[678]901 " in done.stdout


def test_the_length_of_a_bar_is_the_score(run, server):
    """A full bar is 1. Scores of other servers that are out of range are cut."""
    scores = [5.0, 0.5, -3.0]
    results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
    server.script(reply(200, json={"results": results}))
    done = run("rank", "tea", "--base-url", server.url, "--table", input="a\nb\nc\n", env={"CO_API_KEY": KEY})
    bars = [line.count("█") for line in done.stdout.splitlines()[1:]]
    assert bars == [10, 5, 0]


def test_documents_typed_at_the_terminal_are_ranked(tmp_path):
    """A message says that Ctrl-D ends the input."""
    shown, code = on_terminal("rank", "tea", "--local", typed=b"green tea\n\x04")
    assert code == 0
    assert "█" in shown


def test_ctrl_c_at_the_terminal_prints_nothing():
    """The exit code is 130, without a traceback or the word `Aborted`."""
    shown, code = on_terminal("rank", "tea", "--local", typed=b"\x03")
    assert code == 130
    assert "Traceback" not in shown
    assert "Abort" not in shown


def test_headers_are_sent(run, server):
    """``--header`` can be repeated. A variable that is not set, or a text without a colon, is an error."""
    environment = {"CO_API_KEY": KEY, "CO_API_URL": server.url, "TEAM": "search"}
    done = run("rank", "tea", "--header", "X-Team: $TEAM", "--header", "X-Zone:eu", input="one\n", env=environment)
    assert done.exit_code == 0, done.stderr
    assert [server.requests[0].header(name) for name in ("x-team", "x-zone")] == ["search", "eu"]
    for header, says in (("X-Team: $OTHER", "environment variable of X-Team is not set"), (KEY, "'NAME: VALUE'")):
        done = run("rank", "tea", "--header", header, input="one\n", env=environment)
        assert (done.exit_code, says in done.stderr, KEY in done.stderr) == (2, True, False)


def test_a_table_without_a_header_keeps_its_first_row(run, tmp_path):
    """The first line is data if it has numbers or long texts, and the message says so. --has-header overrides it."""
    rows = "7\\t1\\ta kettle\\tKettles are metal.\\n7\\t2\\ta kettle\\tClean a kettle.\\n".replace("\\t", "\t").replace(
        "\\n", "\n"
    )
    (tmp_path / "top1000.tsv").write_text(rows)
    done = run("rank", "clean a kettle", "top1000.tsv", "--local")
    results = ranked(done)
    assert [(result["document"], result["place"], result["id"]) for result in results] == [
        ("Clean a kettle.", "top1000.tsv:2", "2"),
        ("Kettles are metal.", "top1000.tsv:1", "1"),
    ]
    assert "the first line is data" in done.stderr


def test_the_documents_of_retrieval_files_are_ranked_by_the_query(run, tmp_path):
    """Lists are joined, and queries in the file are not used. A run has no texts."""
    lists = [{"question": "x", "contexts": ["green tea", "coffee"]}, {"question": "y", "contexts": ["black tea"]}]
    (tmp_path / "ragas.jsonl").write_text("\n".join(map(json.dumps, lists)))
    done = run("rank", "black tea", "ragas.jsonl", "--local", "-n", 1)
    assert [(result["document"], result["place"]) for result in ranked(done)] == [("black tea", "ragas.jsonl:2[0]")]
    assert "read as RAGAS 0.1" in done.stderr
    (tmp_path / "reply.json").write_text(
        json.dumps({"hits": {"hits": [{"_id": "a", "_source": {"body": "green tea"}}]}})
    )
    (result,) = ranked(run("rank", "tea", "reply.json", "--local"))
    assert (result["document"], result["id"]) == ("green tea", "a")
    (tmp_path / "run.trec").write_text("7 Q0 d1 1 2.5 t\n")
    done = run("rank", "tea", "run.trec", "--local")
    assert (done.exit_code, "batch` with --corpus and --queries" in done.stderr) == (2, True)


def test_compressed_and_binary_files_and_part_files_are_read(run, tmp_path):
    """By their endings or first bytes."""
    import gzip

    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b'{"title": "tea"}\n"green tea"\n'))
    assert {str(result["document"]) for result in ranked(run("rank", "tea", "d.jsonl.gz", "--local"))} == {
        "{'title': 'tea'}",
        "green tea",
    }
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.jsonl").write_text('{"title": "tea"}\n')
    (tmp_path / "out" / "_SUCCESS").touch()
    assert [result["document"] for result in ranked(run("rank", "tea", "out", "--local"))] == [{"title": "tea"}]
    (tmp_path / "d.csv").write_bytes("titre\ncafé\n".encode("cp1252"))
    (result,) = ranked(run("rank", "café", "d.csv", "--local", "--encoding", "cp1252"))
    assert result["document"] == {"titre": "café"}
