"""Turn each error of a command into one line on standard error and an exit code.

0 success, 1 the API, a scorer or the machine failed, 2 the command is not valid, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from cohere_rerank._secrets import hide
from cohere_rerank._settings import key_from_environment
from cohere_rerank.errors import CohereRerankError, InvalidRequestError, MissingApiKeyError

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "NO_KEY",
    "USAGE",
    "Failure",
    "UsageFailure",
    "discard_output",
    "in_options",
    "map_errors",
    "missing_key",
    "one_line",
]

FAILED, USAGE, INTERRUPTED = 1, 2, 130

NO_KEY = "no API key: set CO_API_KEY (or COHERE_API_KEY)"

# The name of an argument in a message of the library: with underscores, with a value, or as the first word.
_ARGUMENT = re.compile(r"\b([a-z]+(?:_[a-z]+)+)\b(?:=\w*)?|\b([a-z]+)=\w*|^([a-z]+)(?= must\b)")
# Arguments whose option has another name.
_OPTIONS = {"base_url": "url", "deadline": "timeout", "rank_fields": "fields", "relevant_spans": "spans"}


class Failure(click.ClickException):
    """An error that ends the command, with one line for the user and an exit code for the shell."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Print the line. Do nothing if standard error is closed."""
        try:
            click.echo(f"cohere-rerank: error: {one_line(self.message)}", err=True)
        except OSError:
            discard_output()


class UsageFailure(Failure):
    """The command is not valid: an option, an input or a setting is wrong."""

    exit_code = USAGE


@contextmanager
def map_errors() -> Iterator[None]:
    """Replace every error with an exception of click that has the right exit code.

    Raises:
        Failure: Instead of an error of the library, the machine or the usage.
        click.exceptions.Exit: Without a message, after an interrupt or when the output was closed.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        discard_output()
        raise click.exceptions.Exit(0) from None  # `| head` has read enough
    except click.exceptions.NoArgsIsHelpError:
        raise  # click shows the help
    except click.UsageError as error:
        raise UsageFailure(_with_hint(error)) from None
    except MissingApiKeyError as error:
        raise UsageFailure(f"{missing_key(error)}; --local needs no key") from None
    except InvalidRequestError as error:
        raise UsageFailure(in_options(str(error))) from None
    except (CohereRerankError, ImportError) as error:
        raise Failure(in_options(str(error))) from None
    except OSError as error:
        discard_output()  # it may have been the output: a full disk
        raise Failure(_os_error(error)) from None


def missing_key(error: MissingApiKeyError) -> str:
    """Return what is missing: a key in words of the command line, or the credentials of a cloud."""
    return NO_KEY if error.message.startswith("No API key") else error.message


def one_line(text: str) -> str:
    """Return the text without line breaks, without control characters, and without the API key."""
    text = hide(text, key_from_environment())  # a server may repeat it in its error
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))


def in_options(message: str) -> str:
    """Replace the names of Python arguments in a message with those of the options of the running command."""
    context = click.get_current_context(silent=True)
    command = context and context.command
    if context and isinstance(command, click.Group) and context.invoked_subcommand:
        command = command.get_command(context, context.invoked_subcommand)
    params = {param.name: param for param in command.params} if command else {}

    def option(found: re.Match[str]) -> str:
        name = found[1] or found[2] or found[3]
        param = params.get(name) or params.get(_OPTIONS.get(name, name))
        if param is None:
            return found[0]
        return param.opts[-1] if isinstance(param, click.Option) else param.human_readable_name

    return _ARGUMENT.sub(option, message)


def _with_hint(error: click.UsageError) -> str:
    message = error.format_message().rstrip()
    stop = "" if message.endswith((".", "?", "!")) else "."
    return f"{message}{stop} See: {error.ctx.command_path} --help" if error.ctx else message


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def discard_output() -> None:
    """Redirect a stream that cannot be written to the null device, because the interpreter flushes it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
