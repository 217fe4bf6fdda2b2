"""What several commands share: the options that say who ranks, and how data leaves the program.

    @click.command()
    @click.argument("file")
    @endpoint_options
    def rank(file: str, endpoint: Endpoint) -> None:
        with endpoint.client() as client:
            response = client.rerank(model=endpoint.model, ...)
        write_json(...)

Any error of `cohere_rerank.errors` may be raised out of a command, as may OSError: `_failures` makes one line and an
exit code of it. What a command itself finds wrong with its options is a ``click.UsageError``.
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

from ._failures import NO_KEY, UsageFailure, discard_output, one_line

if TYPE_CHECKING:
    from cohere_rerank.client import ClientV2

__all__ = [
    "DEFAULT_MODEL",
    "Endpoint",
    "client_options",
    "endpoint_options",
    "explain_missing_key",
    "is_loopback",
    "notice",
    "write_json",
]

_Command = Callable[..., Any]

DEFAULT_MODEL = "rerank-v4.0-fast"


@dataclass(frozen=True)
class Endpoint:
    """Who ranks, as the options say.

    Attributes:
        model: The model to ask for.
        settings: Arguments for `ClientV2` or `AsyncClientV2`; only those that were given. The key is never among them:
            the client takes it from the environment.
    """

    model: str
    settings: Mapping[str, Any]

    def client(self, **more: Any) -> ClientV2:
        """A client of this endpoint; use it as a context manager.

        Raises:
            UsageFailure: The environment holds no key, and the endpoint is not local.
            InvalidRequestError: A setting is out of its range.
        """
        from cohere_rerank.client import ClientV2

        with explain_missing_key(self.settings, "--local"):
            return ClientV2(**self.settings, **more)


@contextmanager
def explain_missing_key(settings: Mapping[str, Any], keyless: str) -> Iterator[None]:
    """Say to a person at a shell, while a client is made, how to do with a missing key.

    Args:
        settings: The client's.
        keyless: What to type for an answer that needs no key.

    Raises:
        UsageFailure: There is no key.
    """
    try:
        yield
    except MissingApiKeyError:
        is_here = is_loopback(_host(settings.get("base_url") or os.environ.get("CO_API_URL", "")))
        any_text = "; any text will do for a server on this machine that asks for none" if is_here else ""
        raise UsageFailure(f"{NO_KEY}{any_text}; {keyless} needs none") from None


def _host(url: str) -> str | None:
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).hostname
    except ValueError:  # of brackets without an address
        return None


def is_loopback(host: str | None) -> bool:
    """Whether only this machine has this address, as far as that can be told without a look-up."""
    from ipaddress import ip_address

    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def client_options(command: _Command) -> _Command:
    """Give a command the options of a client; it is called with ``settings=``, arguments for one, in their place."""

    @click.option("--base-url", metavar="URL", help="Another server, or local:NAME for another local scorer.")
    @click.option(
        "--dialect",
        metavar="NAME",
        help="What the server speaks: cohere, v1, jina, tei, llamacpp, or auto to find out.  [default: cohere]",
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Give up on a call after this long, repeats and waits included.  [default: 300]",
    )
    @click.option(
        "--max-retries",
        type=click.IntRange(min=0),
        metavar="N",
        help="How often a call is repeated after a failure that may pass.  [default: 2]",
    )
    @wraps(command)
    def with_settings(
        *args: Any,
        base_url: str | None,
        dialect: str | None,
        timeout: float | None,
        max_retries: int | None,
        **others: Any,
    ) -> Any:
        given = {"base_url": base_url, "dialect": dialect, "deadline": timeout, "max_retries": max_retries}
        settings = {name: value for name, value in given.items() if value is not None}
        return command(*args, settings=settings, **others)

    return with_settings


def endpoint_options(command: _Command) -> _Command:
    """Give a command these and the options that choose a model; it is called with ``endpoint=`` in their place."""

    def with_endpoint(*args: Any, is_local: bool | None, model: str, settings: dict[str, Any], **others: Any) -> Any:
        address = _address(is_local, settings.pop("base_url", None))
        if address is not None:
            settings["base_url"] = address
        return command(*args, endpoint=Endpoint(model, settings), **others)

    choose = click.option(
        "--local/--api",
        "is_local",
        default=None,
        help="Rank inside this program, without key or network; or with the API. Without either: CO_API_URL, if it is "
        "set, else the API.",
    )
    name = click.option(
        "--model", metavar="NAME", default=DEFAULT_MODEL, show_default=True, help="The model to ask for."
    )
    return choose(name(client_options(wraps(command)(with_endpoint))))


def _address(is_local: bool | None, base_url: str | None) -> str | None:
    """The address to give to a client; None lets it look into the environment."""
    if base_url is None:
        if is_local:
            return LOCAL_SCHEME
        is_local_elsewhere = os.environ.get("CO_API_URL", "").startswith(LOCAL_SCHEME)
        return PRODUCTION_URL if is_local is False and is_local_elsewhere else None
    if is_local is not None and is_local != base_url.startswith(LOCAL_SCHEME):
        raise click.UsageError(f"{'--local' if is_local else '--api'} and --base-url contradict each other.")
    return base_url


def write_json(values: Iterable[object]) -> None:
    """Write each value as a line of JSON to standard output, in UTF-8 whatever the terminal speaks."""
    out = sys.stdout.buffer
    for value in values:
        line = json.dumps(value, ensure_ascii=False)
        out.write(line.encode("utf-8", "backslashreplace") + b"\n")
    out.flush()


def notice(text: str) -> None:
    """Tell the person something that is no data: one line on standard error, if anybody reads it."""
    try:
        click.echo(f"cohere-rerank: {one_line(text)}", err=True)
    except OSError:
        discard_output()
