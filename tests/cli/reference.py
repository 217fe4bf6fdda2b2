"""Write docs/reference/cli.md from the help of the program: ``python tests/cli/reference.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
WIDTH = 80  # columns, on every terminal

HEAD = """\
# Command line

This page is the output of `cohere-rerank COMMAND --help`. `python -m cohere_rerank` is the same program.
Install it with `pip install "cohere-rerank[cli]"`. The [guide](../files/command-line.md) has examples.

| Exit code | Meaning |
|---|---|
| 0 | Success. Also when the reader of the output stopped early, as `head` does. |
| 1 | The API, a server, a scorer or the machine failed; or a package is missing; or `doctor` found a failure. |
| 2 | The command is not valid: an option, an input file or a setting is wrong, or there is no key. |
| 130 | Interrupted with Ctrl-C. |

Data goes to standard output. Messages go to standard error, and an error is one line there.

| Variable | Meaning |
|---|---|
| `CO_API_KEY`, else `COHERE_API_KEY` | The key of the API. There is no option for it: other users can see options. |
| `CO_API_URL` | The address of the API. `--base-url`, `--local` and `--api` override it. |
| `NO_COLOR` | Any value turns colours off. |
"""


def reference() -> str:
    """Return the page as it should be now."""
    import click

    from cohere_rerank.cli._program import program

    sections = [_section(), *(_section(name) for name in program.list_commands(click.Context(program)))]
    return "\n".join([HEAD, *sections])


def _section(*command: str) -> str:
    from click.testing import CliRunner

    from cohere_rerank.cli._program import program

    width: dict[str, Any] = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    done = CliRunner().invoke(program, [*command, "--help"], prog_name="cohere-rerank", **width)
    assert done.exit_code == 0, done.output
    title = " ".join(["cohere-rerank", *command])
    return f"## {title}\n\n```text\n{done.stdout}```\n"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
