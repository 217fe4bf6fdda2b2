"""The sources of the options of `serve`: the command line, the environment, a TOML file, and the defaults.

A variable is CO_SERVER_ and the name of the option: CO_SERVER_MAX_BODY for ``--max-body``. In the file, the name of the
option is the key: ``max-body = 32``. Errors name the source, and never show an API key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cohere_rerank._extras import importing
from cohere_rerank._validators import header_value
from cohere_rerank.errors import InvalidRequestError

from ._common import notice
from ._values import finite

__all__ = [
    "ServerOption",
    "check_keys",
    "check_variables",
    "checked",
    "given_as",
    "read_config",
    "read_keys",
    "seconds_option",
]

PREFIX = "CO_SERVER_"
_MAX_CONFIG_BYTES = 1024 * 1024
_MAX_KEYS_BYTES = 64 * 1024
_CLOSE = 0.75
_CLICKS_WORDS = ("is not a valid integer", "is not a valid float", "is not a valid boolean", "is not in the range")


class ServerOption(click.Option):
    """An option that a variable and the file can set too. In a variable, commas separate the values of a list.

    Args:
        is_secret: Whether an empty variable is an error, because a mistake must not open the server.
    """

    def __init__(self, *args: Any, is_secret: bool = False, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.is_secret = is_secret
        self.key = self.opts[0].removeprefix("--")
        self.envvar = PREFIX + self.key.replace("-", "_").upper()

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """Return the value of the variable, or None if it is not set or empty."""
        text = os.environ.get(str(self.envvar))
        if text is None:
            return None
        values = [value for value in map(str.strip, text.split(",")) if value] if self.multiple else text
        if not values and self.is_secret:
            raise click.BadParameter(
                "the variable is set but has no key; unset it to accept every caller", ctx, self, str(self.envvar)
            )
        return values or None

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Convert and check the value. An error names its source and what is allowed."""
        if ctx.get_parameter_source(str(self.name)) is ParameterSource.DEFAULT_MAP:
            self._check_type(ctx, value)
            value = [str(item) for item in value] if isinstance(value, list) else str(value)
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            is_clicks = any(words in error.message for words in _CLICKS_WORDS)
            message = f"{value!r} is not {self._allowed()}." if is_clicks else error.message
            raise click.BadParameter(message, ctx, self, given_as(ctx, self)) from None

    def _check_type(self, ctx: click.Context, value: Any) -> None:
        if self.multiple:
            is_valid = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif self.is_flag:
            is_valid = isinstance(value, bool)
        elif isinstance(self.type, (click.IntRange, click.FloatRange)):
            is_valid = isinstance(value, (int, float)) and not isinstance(value, bool)
        else:
            is_valid = isinstance(value, str)
        if not is_valid:
            shown = "" if self.is_secret else f", got {value!r}"
            raise click.BadParameter(f"it must be {self._allowed()}{shown}.", ctx, self, given_as(ctx, self))

    def _allowed(self) -> str:
        if self.multiple:
            return "a list of texts"
        if self.is_flag:
            return "true or false"
        kind = self.type
        if isinstance(kind, (click.IntRange, click.FloatRange)):
            number = "a whole number" if isinstance(kind, click.IntRange) else "a number"
            lowest = f"above {kind.min:g}" if kind.min_open else f"of at least {kind.min:g}"
            return f"{number} {lowest if kind.max is None else f'from {kind.min:g} to {kind.max:g}'}"
        return "a text"


def given_as(ctx: click.Context, option: ServerOption) -> str:
    """Return where the value of an option comes from, for a message."""
    source = ctx.get_parameter_source(str(option.name))
    if source is ParameterSource.ENVIRONMENT:
        return f"{option.envvar} ({option.opts[0]})"
    if source is ParameterSource.DEFAULT_MAP:
        return f"{option.key!r} in {ctx.meta.get(PREFIX, 'the file')}"
    return f"'{option.opts[0]}'"


def seconds_option(name: str, default: float, help_text: str) -> Callable[[Any], Any]:
    """Return an option with a number of seconds above 0."""
    return click.option(
        name,
        cls=ServerOption,
        default=default,
        show_default=True,
        type=click.FloatRange(min=0, min_open=True),
        callback=finite,
        metavar="SECONDS",
        help=help_text,
    )


def checked(check: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback that checks a value with a function of the library, if there is a value."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if not value and not isinstance(value, str):
            return value
        try:
            return check(value)
        except (InvalidRequestError, ImportError) as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return callback


def read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """Read the file with options, so that click finds them after those of the environment."""
    if path is None:
        return None
    options = {option.key: option for option in ctx.command.params if isinstance(option, ServerOption)}
    options.pop("config")
    values: dict[str, Any] = {}
    for key, value in _parse_toml(ctx, param, path).items():
        option = options.get(key.replace("_", "-"))
        if option is None:
            raise click.UsageError(f"{path}: there is no option {key!r}{_suggestion(key, options)}", ctx)
        if option.name in values:
            raise click.UsageError(f"{path}: the option {option.key!r} appears twice; keep one of them", ctx)
        values[str(option.name)] = value
    ctx.meta[PREFIX] = path
    ctx.default_map = values
    return path


def _parse_toml(ctx: click.Context, param: click.Parameter, path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        with importing("server", "--config"):
            import tomli as tomllib
    try:
        text = _read(path, _MAX_CONFIG_BYTES).decode()
        parsed: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:  # also of the decoder
        raise click.BadParameter(f"{path} is not valid TOML: {error}", ctx, param) from None
    return parsed


def _suggestion(key: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(key.lower().replace("_", "-"), known, 1, _CLOSE)
    return f"; did you mean {close[0]!r}?" if close else f"; the options are {', '.join(known)}"


def check_variables(command: click.Command) -> None:
    """Check the names of the variables that begin with CO_SERVER_.

    A misspelled name is an error, because it could open the server. Other unknown names get a warning: Kubernetes
    creates such variables for a service that is called co-server.

    Raises:
        click.UsageError: A name is close to that of an option.
    """
    known = {str(option.envvar) for option in command.params if isinstance(option, ServerOption)}
    names = {name.removeprefix(PREFIX) for name in known}
    for variable in sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known):
        close = get_close_matches(variable.removeprefix(PREFIX), names, 1, _CLOSE)
        if close:
            raise click.UsageError(
                f"the environment variable {variable} sets no option; did you mean {PREFIX}{close[0]}?"
            )
        notice(f"the environment variable {variable} sets no option and is ignored")


def read_keys(path: str, option: str) -> tuple[str, ...]:
    """Return the keys in a file, one in each line.

    Raises:
        click.UsageError: The file cannot be read, has no key, or a line cannot be a key.
    """
    try:
        lines = _read(path, _MAX_KEYS_BYTES).decode().split("\n")
        keys = tuple(line.strip() for line in lines if line.strip())
        for key in keys:
            header_value("a key", key)
    except OSError as error:
        raise click.UsageError(
            f"{option}: the file cannot be read ({error.strerror}); its name is not shown, because it may be a key"
        ) from None
    except ValueError as error:
        reason = "it is not a text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise click.UsageError(f"{option}: the file {path} has no valid keys: {reason}") from None
    if not keys:
        raise click.UsageError(f"{option}: the file {path} has no key; write one in each line")
    return keys


def check_keys(keys: Sequence[str]) -> Sequence[str]:
    """Check that each key can be sent in a header, and return them."""
    for key in keys:
        if not header_value("a key", key):
            raise InvalidRequestError("a key is empty; omit the keys to accept every caller")
    return keys


def _read(path: str, max_bytes: int) -> bytes:
    with Path(path).open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"it has more than {max_bytes} bytes")
    return data
