"""What `rank` makes of inputs that hold nothing, or documents in one piece of JSON."""

from __future__ import annotations

import json

import pytest

from tests.cli.terminal import on_terminal


@pytest.mark.parametrize("name", ["teas.txt", "."])
def test_a_file_in_the_place_of_the_query_is_a_usage_error(run, tmp_path, name):
    """A search for its name in nothing would look like a search without results."""
    (tmp_path / "teas.txt").write_text("green tea\n")
    done = run("rank", name, "--local", input="")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"QUERY is missing, or the documents: '{name}' is a file" in done.stderr
    assert f"`rank {name} -`" in done.stderr
    assert run("rank", name, "-", "--local", input="").exit_code == 0


def test_at_a_terminal_a_file_is_not_waited_for(tmp_path):
    """Nobody is asked to type documents for a query that is none."""
    (tmp_path / "teas.txt").write_text("green tea\n")
    shown, code = on_terminal("rank", tmp_path / "teas.txt", "--local")
    assert code == 2
    assert "QUERY is missing" in " ".join(shown.split())
    assert "Ctrl-D" not in shown


def test_a_query_may_have_the_name_of_a_file(run, tmp_path):
    """If documents come with it, from standard input or from files."""
    (tmp_path / "tea").write_text("green tea\n")
    assert run("rank", "tea", "--local", input="black tea\n").exit_code == 0
    assert run("rank", "tea", "tea", "--local", input="").exit_code == 0
    assert run("rank", "tea" * 2000, "--local", input="").exit_code == 0  # too long for any file's name


DOCUMENTS = ["green tea", {"title": "coffee", "cups": 2}, "black tea"]


def ranked(done):
    """Index, place and document of each result, in the order of the input."""
    assert done.exit_code == 0, done.stderr
    results = sorted(map(json.loads, done.stdout.splitlines()), key=lambda result: result["index"])
    return [(result["index"], result["place"], result["document"]) for result in results]


@pytest.mark.parametrize("value", [DOCUMENTS, {"query": "not this one", "documents": DOCUMENTS}], ids=["array", "call"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_json_is_that_many_documents(run, tmp_path, value, indent):
    """By itself or in an object, on one line or on many."""
    (tmp_path / "d.json").write_text(json.dumps(value, indent=indent))
    wanted = [(index, f"d.json[{index}]", document) for index, document in enumerate(DOCUMENTS)]
    assert ranked(run("rank", "tea", "d.json", "--local")) == wanted
    piped = run("rank", "tea", "--local", "--format", "json", input=json.dumps(value, indent=indent))
    assert [place for _, place, _ in ranked(piped)] == ["-[0]", "-[1]", "-[2]"]


@pytest.mark.parametrize("value", ["[]", '{"documents": []}'])
def test_an_empty_array_is_an_input_without_documents(run, tmp_path, value):
    """As an empty file of lines is."""
    (tmp_path / "d.json").write_text(value)
    done = run("rank", "tea", "d.json", "--local")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no documents" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "d.json: it is not JSON"),
        ('{"a": "green"}\n{"a": "black"}\n', "--format jsonl reads"),
        ('{"texts": ["green"]}', "d.json: it must hold an array of documents"),
        ('{"documents": {"0": "green"}}', "d.json: it must hold an array of documents"),
        ('"green"', "d.json: it must hold an array of documents"),
        ('["black", 7]', "d.json[1]: a document is a text or an object that is not empty, got int"),
        ('["black", ["green"]]', "d.json[1]: a document is a text or an object that is not empty, got list"),
        ('["black", ""]', "d.json[1]: a document is a text or an object that is not empty, got empty"),
        ('[{"green": 1e999}]', "d.json: it holds a number that is not finite"),
        ("[" * 100_000, "d.json: it is not JSON"),
    ],
)
def test_any_other_json_is_a_usage_error(run, tmp_path, text, said):
    """In one line that names the place, and shows nothing of a document."""
    (tmp_path / "d.json").write_text(text)
    done = run("rank", "tea", "d.json", "--local")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr and "green" not in done.stderr
    assert done.stderr.count("\n") == 1
