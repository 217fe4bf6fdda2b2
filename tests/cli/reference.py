"""Writes docs/reference/cli.md from the help of the program: ``python tests/cli/reference.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
WIDTH = 80  # columns, whatever the terminal of whoever runs this

HEAD = """\
# Command line

What `cohere-rerank COMMAND --help` says; `python -m cohere_rerank` is the same program. It is an extra:
`pip install "cohere-rerank[cli]"`. The [guide](../how-to/command-line.md) shows it at work.

| Exit code | Meaning |
|---|---|
| 0 | Done. Also when the reader of the output went away, as `head` does. |
| 1 | The API, a server, a scorer or the machine failed; a package is missing; `doctor` found a failure. |
| 2 | The command as given cannot be run: an option, an input file or a setting is wrong, or there is no key. |
| 130 | Interrupted with Ctrl-C. |

Data goes to standard output, what is meant for people to standard error. An error is one line there.

| Variable | Meaning |
|---|---|
| `CO_API_KEY`, else `COHERE_API_KEY` | The API's key. There is no option for it: options are seen by other users. |
| `CO_API_URL` | The address, where neither `--base-url` nor `--local` says otherwise. |
| `NO_COLOR` | Set to anything, it takes the colours away. |
"""


def reference() -> str:
    """The page, as it should be now."""
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
