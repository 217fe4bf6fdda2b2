"""`rank` reads empty inputs, and JSON files with all documents in one value."""

from __future__ import annotations

import json

import pytest

from tests.cli.terminal import on_terminal


@pytest.mark.parametrize("name", ["teas.txt", "."])
def test_a_file_in_the_place_of_the_query_is_a_usage_error(run, tmp_path, name):
    """Otherwise a forgotten query would look like a search without results."""
    (tmp_path / "teas.txt").write_text("green tea\n")
    done = run("rank", name, "--local", input="")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"QUERY or the documents are missing: '{name}' is a file" in done.stderr
    assert f"`rank {name} -`" in done.stderr
    assert run("rank", name, "-", "--local", input="").exit_code == 0


def test_a_file_instead_of_the_query_does_not_wait_for_a_terminal(tmp_path):
    """The program does not ask for documents if the query is missing."""
    (tmp_path / "teas.txt").write_text("green tea\n")
    shown, code = on_terminal("rank", tmp_path / "teas.txt", "--local")
    assert code == 2
    assert "QUERY or the documents are missing" in " ".join(shown.split())
    assert "Ctrl-D" not in shown


def test_a_query_may_have_the_name_of_a_file(run, tmp_path):
    """This works if documents come from standard input or from files."""
    (tmp_path / "tea").write_text("green tea\n")
    assert run("rank", "tea", "--local", input="black tea\n").exit_code == 0
    assert run("rank", "tea", "tea", "--local", input="").exit_code == 0
    assert run("rank", "tea" * 2000, "--local", input="").exit_code == 0  # too long for any file's name


DOCUMENTS = ["green tea", {"title": "coffee", "cups": 2}, "black tea"]


def ranked(done):
    """Return index, place and document of each result, in the order of the input."""
    assert done.exit_code == 0, done.stderr
    results = sorted(map(json.loads, done.stdout.splitlines()), key=lambda result: result["index"])
    return [(result["index"], result["place"], result["document"]) for result in results]


@pytest.mark.parametrize("value", [DOCUMENTS, {"query": "not this one", "documents": DOCUMENTS}], ids=["array", "call"])
@pytest.mark.parametrize("indent", [None, 2])
def test_each_item_of_a_json_array_is_a_document(run, tmp_path, value, indent):
    """The array can be in an object, and have one line or many."""
    (tmp_path / "d.json").write_text(json.dumps(value, indent=indent))
    wanted = [(index, f"d.json[{index}]", document) for index, document in enumerate(DOCUMENTS)]
    assert ranked(run("rank", "tea", "d.json", "--local")) == wanted
    piped = run("rank", "tea", "--local", "--format", "json", input=json.dumps(value, indent=indent))
    assert [place for _, place, _ in ranked(piped)] == ["-[0]", "-[1]", "-[2]"]


@pytest.mark.parametrize("value", ["[]", '{"documents": []}'])
def test_an_empty_array_is_an_input_without_documents(run, tmp_path, value):
    """An empty array is like an empty file of lines."""
    (tmp_path / "d.json").write_text(value)
    done = run("rank", "tea", "d.json", "--local")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no documents" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "d.json: not JSON"),
        ('{"a": "green"}\n{"a": "black"}\n', "--format jsonl reads"),
        ('{"words": ["green"]}', "d.json: the file must be an array of documents"),
        ('{"documents": {"0": "green"}}', "d.json: the file must be an array of documents"),
        ('"green"', "d.json: the file must be an array of documents"),
        ('["black", 7]', "d.json[1]: a document must be a text or an object, and not empty, got int"),
        ('["black", ["green"]]', "d.json[1]: a document must be a text or an object, and not empty, got list"),
        ('["black", ""]', "d.json[1]: a document must be a text or an object, and not empty, got empty"),
        ('[{"green": 1e999}]', "d.json: a number is beyond 1.8e308"),
        ("[" * 100_000, "d.json: broken JSON"),
    ],
)
def test_any_other_json_is_a_usage_error(run, tmp_path, text, message):
    """The message is one line that names the place. It shows no document."""
    (tmp_path / "d.json").write_text(text)
    done = run("rank", "tea", "d.json", "--local")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr and "green" not in done.stderr
    assert done.stderr.count("\n") == 1
