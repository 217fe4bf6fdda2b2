"""``cohere-rerank serve``: a server that speaks Cohere's rerank API."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.core import ParameterSource

from ._common import DEFAULT_MODEL, is_loopback, notice

__all__ = ["serve"]

_MEBIBYTE = 1024 * 1024
_WITH_FAULTS = {"host", "port", "faults"}  # the options that mean something there


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Where to listen.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Processes that serve.")
@click.option(
    "--api-key",
    "api_keys",
    multiple=True,
    metavar="KEY",
    help="Who calls must show this key, or one of several; repeatable. Better in CO_SERVER_API_KEY, separated by "
    "commas: other users of the machine can read a command line.",
)
@click.option(
    "--scorer",
    metavar="NAME",
    help="lexical, semantic or onnx?path=FOLDER.  [default: lexical; semantic for the model local-semantic]",
)
@click.option(
    "--upstream",
    metavar="URL",
    help="Let the API at this address answer, with the key in CO_API_KEY; the local engine while it cannot.",
)
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long the upstream may take, repeats included.",
)
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME",
    help="The model for requests that need not name one (/v1/rerank, /rerank).",
)
@click.option("--strict", is_flag=True, help="Refuse unknown fields and nulls, as Cohere does.")
@click.option(
    "--concurrency", default=2, show_default=True, type=click.IntRange(min=1), help="Requests scored at once, a worker."
)
@click.option(
    "--queue", default=128, show_default=True, type=click.IntRange(min=0), help="Requests that may wait, a worker."
)
@click.option(
    "--max-body", default=16, show_default=True, type=click.IntRange(min=1), metavar="MIB", help="Longest request."
)
@click.option(
    "--body-timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long a request's body may take to arrive; it has a place meanwhile.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Misbehave as FILE says, to test programs against. Only --host and --port go with it.",
)
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    workers: int,
    api_keys: Sequence[str],
    scorer: str | None,
    upstream: str | None,
    timeout: float,
    model: str,
    strict: bool,
    concurrency: int,
    queue: int,
    max_body: int,
    body_timeout: float,
    faults: str | None,
) -> None:
    """Answer rerank requests over HTTP, as Cohere's API does: /v2/rerank, /v1/rerank, /rerank.

    Point a Cohere client at http://HOST:PORT. SIGTERM and Ctrl-C let running requests finish.
    """
    if faults is not None:
        _serve_faults(ctx, host, port, faults)
        return
    from cohere_rerank.server.run import serve as run
    from cohere_rerank.server.settings import Settings, keys_from

    settings = Settings(
        api_keys=(*api_keys, *keys_from(os.environ)),
        scorer=None if scorer is None else scorer.removeprefix("local:"),
        upstream=upstream,
        upstream_timeout_s=timeout,
        model=model,
        is_strict=strict,
        concurrency=concurrency,
        queue=queue,
        max_body_bytes=max_body * _MEBIBYTE,
        body_timeout_s=body_timeout,
    )
    if not settings.api_keys and not is_loopback(host):
        notice(f"anyone who reaches {host} may call; set CO_SERVER_API_KEY to ask for a key")
    run(settings, host=host, port=port, workers=workers)


def _serve_faults(ctx: click.Context, host: str, port: int, file: str) -> None:
    others = [
        option.opts[0]
        for option in ctx.command.params
        if option.name not in _WITH_FAULTS and _is_given(ctx, option.name)
    ]
    if others:
        raise click.UsageError(f"{', '.join(others)} cannot go with --faults.")
    from logging.config import dictConfig

    from cohere_rerank.server.logs import configuration
    from cohere_rerank.testing import serving

    dictConfig(configuration())
    serving.serve(host, port, file)


def _is_given(ctx: click.Context, name: str | None) -> bool:
    return name is not None and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
