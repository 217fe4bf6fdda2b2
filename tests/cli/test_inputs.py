"""What `rank` makes of inputs that hold nothing, or documents in one piece of JSON."""

from __future__ import annotations

import pytest

from tests.cli.terminal import on_terminal


@pytest.mark.parametrize("name", ["teas.txt", "."])
def test_a_file_in_the_place_of_the_query_is_a_usage_error(run, tmp_path, name):
    """A search for its name in nothing would look like a search without results."""
    (tmp_path / "teas.txt").write_text("green tea\n")
    done = run("rank", name, "--local", input="")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"QUERY is missing, or the documents: '{name}' is a file" in done.stderr


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
