"""The parts that several commands share: the options that choose the ranking engine, and the output of data.

    @click.command()
    @click.argument("file")
    @endpoint_options
    def rank(file: str, endpoint: Endpoint) -> None:
        with endpoint.client() as client:
            response = client.rerank(model=endpoint.model, ...)
        write_json(...)

A command may raise any error of `cohere_rerank.errors`, and OSError: `_failures` turns it into one line and an exit
code. A command raises ``click.UsageError`` if its options are not valid.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from cohere_rerank._addresses import LOCAL_SCHEME, PRODUCTION_URL
from cohere_rerank.errors import MissingApiKeyError

from ._failures import UsageFailure, discard_output, missing_key, one_line
from ._values import DEFAULT_MODEL, DIALECT, MODELS, SCORERS, complete, headers, not_blank

if TYPE_CHECKING:
    from cohere_rerank.client import ClientV2

__all__ = [
    "Endpoint",
    "client_options",
    "endpoint_options",
    "explain_missing_key",
    "header_option",
    "is_loopback",
    "model_option",
    "notice",
    "write_json",
]

_Command = Callable[..., Any]


@dataclass(frozen=True)
class Endpoint:
    """The engine that ranks, as the options choose it.

    Attributes:
        model: The name of the model.
        settings: Arguments for `ClientV2` or `AsyncClientV2`, without those that were not given. The key is never among
            them: the client reads it from the environment.
    """

    model: str
    settings: Mapping[str, Any]

    def client(self, **more: Any) -> ClientV2:
        """Return a client of this endpoint. Use it as a context manager.

        Raises:
            UsageFailure: The endpoint is not local, and the environment has no key.
            InvalidRequestError: A setting is not valid.
        """
        from cohere_rerank.client import ClientV2

        with explain_missing_key(self.settings, "--local"):
            return ClientV2(**self.settings, **more)


@contextmanager
def explain_missing_key(settings: Mapping[str, Any], alternative: str) -> Iterator[None]:
    """Replace the error for a missing key, while a client is created, with one in words of the command line.

    Args:
        settings: The arguments of the client.
        alternative: What to type for an engine that needs no key.

    Raises:
        UsageFailure: The client has no key.
    """
    try:
        yield
    except MissingApiKeyError as error:
        is_here = is_loopback(_host(settings.get("base_url") or os.environ.get("CO_API_URL", "")))
        any_text = "; a server on this machine that needs no key accepts any text" if is_here else ""
        raise UsageFailure(f"{missing_key(error)}{any_text}; {alternative} needs no key") from None


def _host(url: str) -> str | None:
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).hostname
    except ValueError:  # for example brackets without an address
        return None


def is_loopback(host: str | None) -> bool:
    """Return whether this is an address of this machine. The name is not looked up."""
    from ipaddress import ip_address

    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def client_options(command: _Command) -> _Command:
    """Add the options of a client to a command, which gets them as ``settings=``, the arguments of a client."""

    @click.option(
        "--base-url",
        metavar="URL",
        shell_complete=complete(SCORERS),
        help="Address of a server, or local:NAME for a local scorer.",
    )
    @click.option(
        "--dialect",
        type=DIALECT,
        metavar="NAME",
        help="API format of the server: cohere, v1, jina, tei or llamacpp; auto detects it.  [default: cohere]",
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Stop a call after this time, which includes retries and waits.  [default: 300]",
    )
    @click.option(
        "--max-retries",
        type=click.IntRange(min=0),
        metavar="N",
        help="Number of retries of a call after a temporary failure.  [default: 2]",
    )
    @header_option
    @wraps(command)
    def with_settings(
        *args: Any,
        base_url: str | None,
        dialect: str | None,
        timeout: float | None,
        max_retries: int | None,
        headers: dict[str, str],
        **others: Any,
    ) -> Any:
        given = {"base_url": base_url, "dialect": dialect, "deadline": timeout, "max_retries": max_retries}
        settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if headers:
            settings["headers"] = headers
        return command(*args, settings=settings, **others)

    return with_settings


def header_option(command: _Command) -> _Command:
    """Add the option ``--header`` to a command, which gets a dict as ``headers=``."""
    return click.option(
        "--header",
        "headers",
        metavar="'NAME: VALUE'",
        multiple=True,
        callback=headers,
        help="Header of every request. Can be repeated. In single quotes, a value $NAME is read from the environment.",
    )(command)


def endpoint_options(command: _Command) -> _Command:
    """Add these options and those that choose a model to a command, which gets them as ``endpoint=``."""

    def with_endpoint(*args: Any, is_local: bool | None, model: str, settings: dict[str, Any], **others: Any) -> Any:
        address = _address(is_local, settings.pop("base_url", None))
        if address is not None:
            settings["base_url"] = address
        if model.startswith(LOCAL_SCHEME):
            raise click.UsageError(f"--model must name a model, got {model!r}. Use --local, or --base-url {model}.")
        return command(*args, endpoint=Endpoint(model, settings), **others)

    choose = click.option(
        "--local/--api",
        "is_local",
        default=None,
        help="Rank on this machine without a key or a network, or with the API.  [default: CO_API_URL if it is set, "
        "else the API]",
    )
    return choose(model_option("Name of the model.")(client_options(wraps(command)(with_endpoint))))


def model_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option ``--model`` with this help text."""
    return click.option(
        "--model",
        metavar="NAME",
        default=DEFAULT_MODEL,
        show_default=True,
        callback=not_blank,
        shell_complete=complete(MODELS),
        help=text,
    )


def _address(is_local: bool | None, base_url: str | None) -> str | None:
    """Return the address for a client, or None if the client should read it from the environment."""
    if base_url is None:
        if is_local:
            return LOCAL_SCHEME
        is_local_by_default = os.environ.get("CO_API_URL", "").startswith(LOCAL_SCHEME)
        return PRODUCTION_URL if is_local is False and is_local_by_default else None
    if is_local is not None and is_local != base_url.startswith(LOCAL_SCHEME):
        raise click.UsageError(f"{'--local' if is_local else '--api'} and --base-url cannot be used together.")
    return base_url


def write_json(values: Iterable[object]) -> None:
    """Write each value as a line of JSON to standard output, always in UTF-8."""
    out = sys.stdout.buffer
    for value in values:
        line = json.dumps(value, ensure_ascii=False)
        out.write(line.encode("utf-8", "backslashreplace") + b"\n")
    out.flush()


def notice(text: str) -> None:
    """Print one line on standard error. Do nothing if standard error is closed."""
    try:
        click.echo(f"cohere-rerank: {one_line(text)}", err=True)
    except OSError:
        discard_output()
