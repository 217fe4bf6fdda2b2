"""``cohere-rerank serve``: a server with Cohere's rerank API."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ._common import is_loopback, notice
from ._server_options import (
    ServerOption,
    check_keys,
    check_variables,
    checked,
    given_as,
    read_config,
    read_keys,
    seconds_option,
)
from ._values import DEFAULT_MODEL, MODELS, complete, examples, not_blank

__all__ = ["serve"]

if TYPE_CHECKING:
    from cohere_rerank.server.settings import ServerSettings

_MEBIBYTE = 1024 * 1024
_WITH_FAULTS = {"config", "host", "port", "faults", "log_level", "log_format"}  # can be used with --faults
_KEY_FILE = click.Path()  # `read_keys` checks it, and does not show it
_option = partial(click.option, cls=ServerOption)


def _check_upstream(value: str) -> str:
    from cohere_rerank.server.settings import check_upstream

    return check_upstream(value)


def _check_scorer(value: str) -> str:
    from cohere_rerank.local.registry import get_scorer

    name = value.removeprefix("local:")
    get_scorer(name or "lexical")
    return name


def _check_hosts(values: Sequence[str]) -> Sequence[str]:
    from cohere_rerank.server.settings import check_hosts

    return check_hosts(values)


def _check_origins(values: Sequence[str]) -> Sequence[str]:
    from cohere_rerank.server.cors import check_origins

    return check_origins(values)


@click.command(
    short_help="Serve Cohere's rerank API over HTTP.",
    epilog=examples("serve --port 8080", "serve --upstream https://api.cohere.com --host 0.0.0.0"),
)
@_option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Address to listen on.")
@_option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on. 0 chooses a free one.",
)
@_option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Number of processes.")
@_option(
    "--api-key",
    "api_keys",
    multiple=True,
    is_secret=True,
    callback=checked(check_keys),
    metavar="KEY",
    help="API key that callers must send. Can be repeated: one of the keys is enough. CO_SERVER_API_KEY is safer, "
    "with commas between keys: other users of the machine can read a command line.",
)
@_option("--api-key-file", type=_KEY_FILE, metavar="FILE", help="Accept the keys in this file too, one in each line.")
@_option(
    "--scorer",
    metavar="NAME",
    callback=checked(_check_scorer),
    help="lexical, semantic, multilingual or onnx?path=FOLDER.  [default: lexical; another one for the models "
    "local-semantic and local-multilingual]",
)
@_option(
    "--upstream",
    metavar="URL",
    callback=checked(_check_upstream),
    help="Forward requests to the API at this address, with the key in CO_API_KEY. The local engine answers during an "
    "outage.",
)
@_option(
    "--upstream-key-file",
    type=_KEY_FILE,
    metavar="FILE",
    help="Send the key in this file to the upstream, instead of CO_API_KEY.",
)
@seconds_option("--timeout", 60.0, "Time limit for the upstream, which includes retries.")
@_option(
    "--model",
    metavar="NAME",
    default=DEFAULT_MODEL,
    show_default=True,
    callback=not_blank,
    shell_complete=complete(MODELS),
    help="Model of requests without a model (/v1/rerank, /rerank).",
)
@_option("--strict", is_flag=True, help="Reject unknown fields and nulls, as Cohere does.")
@_option(
    "--concurrency",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Requests scored at the same time by a worker.",
)
@_option(
    "--queue",
    default=128,
    show_default=True,
    type=click.IntRange(min=0),
    help="Maximum number of waiting requests of a worker.",
)
@_option(
    "--max-body",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="MIB",
    help="Maximum size of a request.",
)
@seconds_option(
    "--body-timeout",
    30.0,
    "Time limit for reading the body of a request, which holds a slot of the queue during that time.",
)
@seconds_option("--request-timeout", 60.0, "How long the local engine may take for a request; then it gets 503.")
@seconds_option(
    "--stuck-after", 90.0, "/ready fails when all threads have been busy with one request for longer than this."
)
@_option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    callback=checked(_check_hosts),
    metavar="NAME",
    help="Accept requests to this host name. Can be repeated. Without keys, a server on a loopback address accepts "
    "only requests to loopback names.",
)
@_option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    callback=checked(_check_origins),
    metavar="ORIGIN",
    help="Let web pages of this origin call the server, such as https://app.example.org. Can be repeated. * allows "
    "every page.",
)
@_option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error"), case_sensitive=False),
    default="info",
    show_default=True,
    help="Log events of this level and above.",
)
@_option(
    "--log-format",
    type=click.Choice(("auto", "text", "json"), case_sensitive=False),
    default="auto",
    show_default=True,
    help="auto: text on a terminal, JSON otherwise.",
)
@_option(
    "--config",
    type=click.Path(exists=True, dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    metavar="FILE",
    help="Read options from this TOML file, such as port = 8080. The command line and variables override it.",
)
@_option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Fail as this plan says, to test programs. Only --host and --port can be used with it.",
)
@click.pass_context
def serve(ctx: click.Context, /, host: str, port: int, log_level: str, log_format: str, **options: Any) -> None:
    """Serve Cohere's rerank API over HTTP: /v2/rerank, /v1/rerank and /rerank.

    Set the address of a Cohere client to http://HOST:PORT. After SIGTERM or Ctrl-C, the server finishes the requests in
    flight.

    A variable can set each option, for example CO_SERVER_MAX_BODY for --max-body. So can the file of --config. An
    option overrides a variable, and a variable overrides the file.
    """
    check_variables(ctx.command)
    if options["faults"] is not None:
        _serve_faults(ctx, host, port, options["faults"], log_level, log_format)
        return
    _check_exclusive(ctx, options)
    from cohere_rerank.server.run import serve as run

    settings = _settings(options)
    if not settings.api_keys and not is_loopback(host):
        notice(f"the server on {host} accepts every caller; set CO_SERVER_API_KEY to require a key")
    run(settings, host=host, port=port, workers=options["workers"], log_level=log_level, log_format=log_format)


def _settings(options: dict[str, Any]) -> ServerSettings:
    from cohere_rerank.server.settings import ServerSettings

    keys = options["api_keys"]
    if options["api_key_file"] is not None:
        keys = (*keys, *read_keys(options["api_key_file"], "--api-key-file"))
    upstream_key = None
    if options["upstream_key_file"] is not None:
        upstream_key = read_keys(options["upstream_key_file"], "--upstream-key-file")[0]
    return ServerSettings(
        api_keys=keys,
        scorer=options["scorer"],
        upstream=options["upstream"],
        upstream_key=upstream_key,
        upstream_timeout_s=options["timeout"],
        model=options["model"],
        is_strict=options["strict"],
        concurrency=options["concurrency"],
        queue=options["queue"],
        max_body_bytes=options["max_body"] * _MEBIBYTE,
        body_timeout_s=options["body_timeout"],
        request_timeout_s=options["request_timeout"],
        stuck_after_s=options["stuck_after"],
        allowed_hosts=tuple(options["allowed_hosts"]) or None,
        cors_origins=options["cors_origins"],
    )


def _check_exclusive(ctx: click.Context, options: dict[str, Any]) -> None:
    if options["scorer"] is not None and options["upstream"] is not None:
        both = " and ".join(given_as(ctx, option) for option in _options(ctx) if option.name in ("scorer", "upstream"))
        raise click.UsageError(f"{both} are mutually exclusive; set only one of them.")
    if options["upstream_key_file"] is not None and options["upstream"] is None:
        raise click.UsageError("--upstream-key-file needs --upstream.")


def _serve_faults(ctx: click.Context, host: str, port: int, file: str, log_level: str, log_format: str) -> None:
    others = [
        given_as(ctx, option) for option in _options(ctx) if option.name not in _WITH_FAULTS and _is_given(ctx, option)
    ]
    if others:
        raise click.UsageError(f"{', '.join(others)} cannot be used with --faults.")
    if not is_loopback(host):
        notice(f"the fault server on {host} accepts every caller; use it for tests only, on a network that you trust")
    from logging.config import dictConfig

    from cohere_rerank.server.logs import log_config
    from cohere_rerank.testing.serve import serve as serve_faults

    dictConfig(log_config(log_level, log_format))
    serve_faults(host, port, file)


def _options(ctx: click.Context) -> list[ServerOption]:
    return [option for option in ctx.command.params if isinstance(option, ServerOption)]


def _is_given(ctx: click.Context, option: ServerOption) -> bool:
    return ctx.get_parameter_source(str(option.name)) is not ParameterSource.DEFAULT
