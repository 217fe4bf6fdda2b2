"""The program: a group of commands, each imported when it is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from cohere_rerank._version import __version__

from ._failures import map_errors
from ._values import examples

__all__ = ["program"]

COMMANDS = ("rank", "batch", "eval", "threshold", "serve", "models", "doctor", "completion")
"""The commands in the order of the help. Each is the name of a module here and of the click command in it."""


class Program(click.Group):
    """A group whose commands are modules, and which sets every message and exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Return the command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{cmd_name}"), cmd_name)
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the arguments of the program, and the variable NO_COLOR."""
        if os.environ.get("NO_COLOR"):
            extra.setdefault("color", False)
        with map_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and flush its output."""
        with map_errors():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@click.group(
    cls=Program,
    epilog=examples('rank "return an item" help.txt --local', "doctor http://localhost:8000"),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def program() -> None:
    """Rank documents by a query, with Cohere's API or offline.

    The environment variables CO_API_KEY or COHERE_API_KEY hold the key of the API, and CO_API_URL its address.
    NO_COLOR=1 turns colours off.

    Exit codes: 0 success, 1 the API or a scorer failed, 2 the command is not valid, 130 interrupted.
    """
