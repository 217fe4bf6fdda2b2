"""The values of options and arguments: their checks, what a shell completes for them, and how numbers are printed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "DEFAULT_MODEL",
    "DIALECT",
    "MODELS",
    "SCORERS",
    "complete",
    "counted",
    "examples",
    "finite",
    "headers",
    "not_blank",
]

# Cohere's rerank models in November 2026. They complete in a shell; a command accepts any other name.
MODELS = (
    "rerank-v5.0-pro",
    "rerank-v5.0-fast",
    "rerank-v4.0-pro",
    "rerank-v4.0-fast",
    "rerank-v3.5",
    "rerank-multilingual-v3.0",
    "rerank-english-v3.0",
)
DEFAULT_MODEL = "rerank-v4.0-fast"
SCORERS = ("local:", "local:lexical", "local:multilingual", "local:semantic", "local:onnx?path=")
DIALECT = click.Choice(("cohere", "v1", "jina", "tei", "llamacpp", "auto"))


def complete(values: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Return a function that completes these values in a shell."""

    def matching(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(value) for value in values if value.startswith(incomplete)]

    return matching


def not_blank(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Check that a text is not blank, and return it."""
    if not value.strip():
        raise click.BadParameter("it must not be blank.", ctx, param)
    return value


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Check that a number is neither infinite nor NaN, and return it."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"it must be a finite number, got {value}.", ctx, param)
    return value


def headers(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Return the headers of texts such as ``X-Team: search`` or ``api-key: $VARIABLE``.

    A value that is the name of a variable is read from the environment here and not by the shell, so that no other user
    of the machine can see it. Errors show no value.
    """
    named = {}
    for text in values:
        name, colon, value = (part.strip() for part in text.partition(":"))
        if not colon or not name:
            raise click.BadParameter("it must look like 'NAME: VALUE'.", ctx, param)
        if value.startswith("$"):
            if value[1:] not in os.environ:
                raise click.BadParameter(f"the environment variable of {name} is not set.", ctx, param)
            value = os.environ[value[1:]]
        named[name] = value
    return named


def counted(n: float, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(12345, "row"), counted(1.5, "search unit"), counted(2, "retry", "retries")
    ('1 row', '12,345 rows', '1.5 search units', '2 retries')
    """
    number = f"{n:,.2f}".rstrip("0").rstrip(".")
    return f"{number} {noun if n == 1 else plural or noun + 's'}"


def examples(*commands: str) -> str:
    """Return the end of a help text, with examples of the command."""
    keep_lines = "\b"  # a mark for click
    return "\n".join([keep_lines, "Examples:", *(f"  cohere-rerank {command}" for command in commands)])
