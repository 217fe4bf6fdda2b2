"""`cohere-rerank rank`: documents from anywhere, ordered, as JSON Lines or as a table."""

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
    """The results of a run, parsed."""
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def places(done):
    return [result["place"] for result in ranked(done)]


def test_lines_of_standard_input_are_ranked(run):
    """Piped text gives JSON Lines: index, score, place and document, best first; blank lines are no documents."""
    results = ranked(run("rank", QUERY, "--local", input=LINES))
    assert results[0].items() >= {"index": 1, "place": "-:2", "document": "Paris is the capital of France"}.items()
    assert [set(result) for result in results] == [{"index", "relevance_score", "place", "document"}] * 3
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)


def test_a_dash_is_standard_input_among_files(run, tmp_path):
    """Files are read in the order given, and the index runs over all of them."""
    (tmp_path / "a.txt").write_text("a tea\n")
    (tmp_path / "b.txt").write_text("b tea\n\n\nb 4 tea\n")
    results = ranked(run("rank", "tea", "a.txt", "-", "b.txt", "--local", input="from the pipe\n"))
    assert {result["index"]: result["place"] for result in results} == {
        0: "a.txt:1",
        1: "-:1",
        2: "b.txt:1",
        3: "b.txt:4",
    }


def test_scores_order_and_model_are_the_servers(run, server):
    """What goes out is the query, the documents and the model; what comes back is shown as it is."""
    server.keys = {KEY}
    environment = {"CO_API_KEY": KEY, "CO_API_URL": server.url}
    results = ranked(
        run("rank", "tea", "--model", "rerank-x", "--top-n", 2, input="one\ntwo\nthree\n", env=environment)
    )
    wanted = sorted(["one", "two", "three"], key=lambda text: -api_score("tea", text))[:2]
    assert [result["document"] for result in results] == wanted
    assert [result["relevance_score"] for result in results] == [api_score("tea", text) for text in wanted]
    (request,) = server.requests
    assert request.json == {"model": "rerank-x", "query": "tea", "documents": ["one", "two", "three"], "top_n": 2}


def test_local_and_api_outrank_the_environment(run, server):
    """--local sends nothing although there is a key; --api does not rank here although CO_API_URL says local:."""
    run("rank", "tea", "--local", input="green\n", env={"CO_API_KEY": KEY, "CO_API_URL": server.url})
    assert server.requests == []
    done = run("rank", "tea", "--api", input="green\n", env={"CO_API_URL": "local:"})
    assert (done.exit_code, "CO_API_KEY" in done.stderr) == (2, True)


def test_timeout_bounds_the_whole_call(run, server):
    """--timeout covers repeats and waits, and --max-retries is heeded."""
    server.default = reply(503, json={"message": "overloaded"}, headers={"retry-after": "3600"})
    common = ["rank", "tea", "--base-url", server.url]
    done = run(*common, "--timeout", 5, input="green\n", env={"CO_API_KEY": KEY})
    assert done.exit_code == 1
    assert len(server.requests) == 1  # an hour is longer than five seconds: no use to wait
    done = run(*common, "--max-retries", 0, input="green\n", env={"CO_API_KEY": KEY})
    assert (done.exit_code, len(server.requests)) == (1, 2)


def test_min_score_leaves_out_the_rest(run):
    """All that is left scores at least that."""
    everything = ranked(run("rank", QUERY, "--local", input=LINES))
    cut = everything[1]["relevance_score"]
    assert ranked(run("rank", QUERY, "--local", "--min-score", cut, input=LINES)) == everything[:2]


def test_json_lines_hold_texts_and_objects(run, tmp_path):
    """A .jsonl file; objects are ranked by all fields, or by those named, and come back as they are."""
    documents = [{"title": "tea", "id": 1}, "plain tea", {"title": "coffee", "note": "better than tea"}]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, documents)))
    results = ranked(run("rank", "tea", "d.jsonl", "--local"))
    assert {result["index"]: result["document"] for result in results} == dict(enumerate(documents))


def test_fields_are_sent_in_the_order_given(run, server, tmp_path):
    """--field picks and orders; the printed document is whole."""
    row = {"id": 7, "title": "tea", "body": "green"}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    options = ["--base-url", server.url, "--field", "body", "--field", "title"]
    results = ranked(run("rank", "tea", "d.jsonl", *options, env={"CO_API_KEY": KEY}))
    assert server.requests[0].json["documents"] == ["body: green\ntitle: tea\n"]
    assert results[0]["document"] == row


def test_a_field_of_plain_text_is_refused(run):
    """Rather than ranking by something else than was asked for."""
    done = run("rank", "tea", "--local", "--field", "title", input="green tea\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--field" in done.stderr


def test_a_document_without_the_field_is_refused_by_its_place(run):
    """And by the option that was typed; other texts and a document with one of several fields are taken."""
    lines = '{"text": "green tea", "id": 1}\n"plain tea"\n\n{"id": 2, "body": "secret"}\n'
    done = run("rank", "tea", "--local", "--field", "text", "--field", "note", input=lines)
    assert (done.exit_code, done.stdout) == (2, "")
    said = "-:4: the document has none of the fields that --field names: 'text', 'note'"
    assert done.stderr == f"cohere-rerank: error: {said}\n"
    assert len(ranked(run("rank", "tea", "--local", "--field", "text", "--field", "body", input=lines))) == 3


@pytest.mark.parametrize(("name", "mark"), [("d.csv", ","), ("d.tsv", "\t"), ("D.CSV", ",")])
def test_tables_are_objects_by_the_names_of_their_first_line(run, tmp_path, name, mark):
    """Quoted cells may hold line breaks and the mark; a byte order mark is none of the name."""
    text = f'\ufefftitle{mark}body\ntea{mark}"green{mark}\nof Japan"\ncoffee{mark}black\n'
    (tmp_path / name).write_text(text, encoding="utf-8")
    first, second = ranked(run("rank", "green tea of Japan", name, "--local"))
    assert first["document"] == {"title": "tea", "body": f"green{mark}\nof Japan"}
    assert (first["place"], second["place"]) == (f"{name}:2", f"{name}:4")


def test_the_place_of_a_row_is_the_line_where_it_begins(run, tmp_path):
    """Of rows with line breaks in them, after blank lines, and of one that is refused."""
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
    ("name", "mark", "said"),
    [
        ("d.csv", ";", "separated by semicolons? Save the table with commas;"),
        ("d.csv", "\t", "separated by tabs? Read it with --format tsv;"),
        ("d.tsv", ",", "separated by commas? Read it with --format csv;"),
        ("d.tsv", ";", "separated by semicolons? Save"),
    ],
)
def test_a_table_with_other_marks_is_refused(run, tmp_path, name, mark, said):
    """Instead of ranking whole rows as the cells of one column."""
    (tmp_path / name).write_text(f"title{mark}body\ntea{mark}green\n")
    done = run("rank", "tea", name, "--local")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"error: {name}:1: one column, " in done.stderr and said in done.stderr
    assert "green" not in done.stderr


@pytest.mark.parametrize("names", ['"title; and body"', '"title, and body"', "title and body"])
def test_a_table_may_have_one_column(run, tmp_path, names):
    """Under a name with a semicolon or a comma too, if that is in quotes."""
    (tmp_path / "d.csv").write_text(f"\ufeff{names}\ntea; green\n", encoding="utf-8")
    (result,) = ranked(run("rank", "tea", "d.csv", "--local"))
    assert result["document"] == {names.strip('"'): "tea; green"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("title,body,title", "d.csv:1: columns 1 and 3 are both called 'title'"),
        ("title,,body", "d.csv:1: column 2 has no name"),
        ("title,body, ", "d.csv:1: column 3 has no name"),
    ],
)
def test_a_column_that_a_row_would_lose_is_refused(run, tmp_path, names, said):
    """Equal names and missing ones; rows are not ranked by half of their cells."""
    (tmp_path / "d.csv").write_text(f"{names}\ngreen,tea,leaves\n")
    done = run("rank", "tea", "d.csv", "--local")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr and "leaves" not in done.stderr


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("options", [[], ["--format", "jsonl"]], ids=["auto", "jsonl"])
def test_a_number_that_json_cannot_hold_is_refused(run, number, options):
    """It would leave as Infinity or NaN, which other programs do not read; the line is named."""
    lines = '{"title": "tea", "price": 1.5e2}\n{"title": "coffee", "of": [{"price": ' + number + "}]}\n"
    done = run("rank", "tea", "--local", *options, input=lines)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "-:2: it holds a number that is not finite" in done.stderr
    first = ranked(run("rank", "tea", "--local", input=lines.splitlines()[0]))
    assert first[0]["document"] == {"title": "tea", "price": 150.0}


def test_long_cells_are_read(run, tmp_path):
    """Longer than the csv module's own limit of 131,072 characters."""
    (tmp_path / "d.csv").write_text("body\n" + "tea " * 50_000 + "\n")
    (result,) = ranked(run("rank", "tea", "d.csv", "--local"))
    assert len(result["document"]["body"]) == 200_000


def test_each_file_of_a_folder_is_a_document(run, tmp_path):
    """In every folder below, but hidden ones; what is no text is counted, not ranked."""
    for name, text in {"a.txt": "green tea\nin two lines", "sub/b.md": "black tea", ".git/c": "tea"}.items():
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_text(text)
    (tmp_path / "docs" / "image.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "docs" / "empty.txt").write_text("")
    done = run("rank", "green tea", "docs", "--local")
    assert places(done) == ["docs/a.txt", "docs/sub/b.md"]
    assert "docs: left out 2 files, empty" in done.stderr
    (tmp_path / "docs" / "empty.txt").unlink()
    assert "docs: left out 1 file, empty" in run("rank", "green tea", "docs", "--local").stderr


def test_whole_files_are_documents_if_asked(run, tmp_path):
    """--format whole: one document a file."""
    (tmp_path / "a.md").write_text("tea\n\nof Japan\n")
    (result,) = ranked(run("rank", "tea", "a.md", "--local", "--format", "whole"))
    assert (result["document"], result["place"]) == ("tea\n\nof Japan\n", "a.md")


def test_piped_objects_are_json_lines_and_other_lines_are_text(run):
    """Standard input is what its first line is; --format outranks that."""
    piped = '{"text": "green tea"}\n{"text": "coffee"}\n'
    assert [result["document"] for result in ranked(run("rank", "tea", "--local", input=piped))] == [
        {"text": "green tea"},
        {"text": "coffee"},
    ]
    as_lines = ranked(run("rank", "tea", "--local", "--format", "lines", input=piped))
    assert as_lines[0]["document"] == '{"text": "green tea"}'
    assert ranked(run("rank", "tea", "--local", input="[1, 2] cups of tea\n"))[0]["document"] == "[1, 2] cups of tea"


@pytest.mark.parametrize(
    ("name", "data", "said"),
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
def test_what_cannot_be_read_names_its_place(run, tmp_path, name, data, said):
    """File and line, in one line, with exit code 2; nothing of the document is shown."""
    (tmp_path / name).write_bytes(data)
    done = run("rank", "tea", name, "--local")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_documents_give_no_results(run):
    """An empty input is no failure; a note says so."""
    done = run("rank", "tea", "--local", input="\n \n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no documents" in done.stderr


def test_spans_are_in_the_json(run):
    """--spans gives positions, scores and the text of each passage."""
    (result,) = ranked(
        run("rank", "capital of France", "--local", "--spans", input="Lyon is large. Paris, the capital of France.\n")
    )
    spans = result["relevant_spans"]
    assert spans
    for span in spans:
        assert result["document"][span["start"] : span["end"]] == span["text"]
    assert "France" in spans[0]["text"]


def test_json_is_utf8_whatever_the_terminal_speaks(start):
    """JSON Lines are UTF-8 by definition; a table shows what the encoding has."""
    document = "緑茶 tea ☕ été\n".encode()
    for form, wanted in (("--json", "緑茶 tea ☕ été".encode()), ("--table", b"?? tea ? \xe9t\xe9")):
        process = start("rank", "tea", "--local", form, env={"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"})
        out, said = process.communicate(document, timeout=60)
        assert process.returncode == 0, said
        assert wanted in out


def test_warnings_of_the_server_are_notes(run, server):
    """They reach the person on standard error, on one line, and leave the data alone."""
    body = {"results": [{"index": 0, "relevance_score": 0.5}], "meta": {"warnings": ["model is\ndeprecated\x1b[2J"]}}
    server.script(reply(200, json=body))
    done = run("rank", "tea", "--base-url", server.url, input="green\n", env={"CO_API_KEY": KEY})
    assert len(ranked(done)) == 1
    assert done.stderr == "cohere-rerank: model is deprecated [2J\n"


COLOR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def teas(tmp_path):
    """A file with a document that is longer than a line, and one with an order to the terminal."""
    (tmp_path / "teas.txt").write_text("green tea\ncoffee " + "and more " * 50 + "\ntea\x1b[2J\x07 \u202eback\n")
    return tmp_path / "teas.txt"


@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_gets_a_table_as_wide_as_it_is(teas, columns):
    """One line a result: rank, score, bar, place and the start of the text."""
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


def test_documents_cannot_give_orders_to_the_terminal(teas):
    """Escape sequences and turned writing directions are shown as blanks."""
    shown, _ = on_terminal("rank", "tea", teas, "--local")
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


def test_no_color_takes_the_colours_away(teas):
    """NO_COLOR leaves the table as it is, without one colour code."""
    coloured, _ = on_terminal("rank", "green tea", teas, "--local", "--spans")
    plain, code = on_terminal("rank", "green tea", teas, "--local", "--spans", env={"NO_COLOR": "1"})
    assert code == 0
    codes = {code for sequence in re.findall(r"\x1b\[([0-9;]*)m", plain) for code in sequence.split(";")}
    assert not {code for code in codes if code.startswith(("3", "4", "9", "10"))} - {"3", "4"}  # italic, underlined
    assert COLOR.sub("", plain) == COLOR.sub("", coloured) != coloured


PARIS = "Lyon. Paris is the capital of France. Berlin."


def test_without_colours_spans_stand_in_brackets(run):
    """In a pipe; a table without --spans has none."""
    shown = run("rank", QUERY, "--local", "--spans", "--table", input=PARIS).stdout
    assert "Lyon. [Paris is the capital of France.] Berlin." in shown
    assert "[" not in run("rank", QUERY, "--local", "--table", input=PARIS).stdout


@pytest.mark.parametrize(
    ("environment", "has_brackets"), [({"TERM": "dumb"}, True), ({}, False)], ids=["dumb", "color"]
)
def test_a_terminal_without_colours_shows_brackets(tmp_path, environment, has_brackets):
    """One with colours shows none. A dumb one has 80 columns for rich, whatever is said of it."""
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
def test_what_is_shown_begins_at_a_word_near_the_passage(run, server, tmp_path, document, span, shown):
    """With the start of the document, if the passage is in view then; nothing begins amid a word."""
    (tmp_path / "d.txt").write_text(document)
    at = document.index(span)
    spans = [{"start": at, "end": at + len(span), "score": 0.5}]
    server.script(reply(200, json={"results": [{"index": 0, "relevance_score": 0.5, "relevant_spans": spans}]}))
    options = ["--base-url", server.url, "--spans", "--table"]
    done = run("rank", "NEEDLE", "d.txt", *options, env={"CO_API_KEY": KEY, "COLUMNS": "80"})
    assert f"d.txt:1  {shown}" in done.stdout


def test_spans_that_overlap_stand_in_no_order_or_lie_beyond_are_marked_once(run, server):
    """Other servers may send them so, or count in bytes; the best comes first."""
    pairs = [(80, 90), (6, 9), (0, 3), (2, 5), (0, 2), (12, 14)]
    spans = [{"start": start, "end": end, "score": 0.5} for start, end in pairs]
    server.script(reply(200, json={"results": [{"index": 0, "relevance_score": 0.5, "relevant_spans": spans}]}))
    options = ["--base-url", server.url, "--spans", "--table"]
    done = run("rank", "tea", *options, input="012345678901\n", env={"CO_API_KEY": KEY})
    assert "  [012][34]5[678]901 " in done.stdout


def test_bars_say_the_score(run, server):
    """A full bar is 1; what is out of range, as of other servers, is drawn as its end."""
    scores = [5.0, 0.5, -3.0]
    results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
    server.script(reply(200, json={"results": results}))
    done = run("rank", "tea", "--base-url", server.url, "--table", input="a\nb\nc\n", env={"CO_API_KEY": KEY})
    bars = [line.count("█") for line in done.stdout.splitlines()[1:]]
    assert bars == [10, 5, 0]


def test_documents_typed_at_the_terminal_are_ranked(tmp_path):
    """A note says how to end; Ctrl-D does."""
    shown, code = on_terminal("rank", "tea", "--local", typed=b"green tea\n\x04")
    assert code == 0
    assert "█" in shown


def test_ctrl_c_at_the_terminal_is_quiet():
    """Exit code 130, no traceback, no `Aborted`."""
    shown, code = on_terminal("rank", "tea", "--local", typed=b"\x03")
    assert code == 130
    assert "Traceback" not in shown
    assert "Abort" not in shown
