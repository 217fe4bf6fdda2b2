"""``cohere-rerank serve``: a server with Cohere's rerank API."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from click.core import ParameterSource

from ._common import is_loopback, model_option, notice
from ._values import examples

__all__ = ["serve"]

_MEBIBYTE = 1024 * 1024
_WITH_FAULTS = {"host", "port", "faults"}  # the options that can be used with --faults


@click.command(epilog=examples("serve --port 8080", "serve --upstream https://api.cohere.com --host 0.0.0.0"))
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on. 0 chooses a free one.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Number of processes.")
@click.option(
    "--api-key",
    "api_keys",
    multiple=True,
    metavar="KEY",
    help="API key that callers must send. Can be repeated: one of the keys is enough. CO_SERVER_API_KEY is safer, "
    "with commas between keys: other users of the machine can read a command line.",
)
@click.option(
    "--scorer",
    metavar="NAME",
    help="lexical, semantic or onnx?path=FOLDER.  [default: lexical; semantic for the model local-semantic]",
)
@click.option(
    "--upstream",
    metavar="URL",
    help="Forward requests to the API at this address, with the key in CO_API_KEY. The local engine answers during an "
    "outage.",
)
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Time limit for the upstream, which includes retries.",
)
@model_option("Model of requests without a model (/v1/rerank, /rerank).")
@click.option("--strict", is_flag=True, help="Reject unknown fields and nulls, as Cohere does.")
@click.option(
    "--concurrency",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Requests scored at the same time by a worker.",
)
@click.option(
    "--queue",
    default=128,
    show_default=True,
    type=click.IntRange(min=0),
    help="Maximum number of waiting requests of a worker.",
)
@click.option(
    "--max-body",
    default=16,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="MIB",
    help="Maximum size of a request.",
)
@click.option(
    "--body-timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Time limit for reading the body of a request, which holds a slot of the queue during that time.",
)
@click.option(
    "--request-timeout",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long the local engine may take for a request; then it gets 503.",
)
@click.option(
    "--stuck-after",
    default=90.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="/ready fails when all threads have been busy with one request for longer than this.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Accept requests to this host name. Can be repeated. Without keys, a server on a loopback address accepts "
    "only requests to loopback names.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Fail as this plan says, to test programs. Only --host and --port can be used with it.",
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
    request_timeout: float,
    stuck_after: float,
    allowed_hosts: Sequence[str],
    faults: str | None,
) -> None:
    """Serve Cohere's rerank API over HTTP: /v2/rerank, /v1/rerank and /rerank.

    Set the address of a Cohere client to http://HOST:PORT. After SIGTERM or Ctrl-C, the server finishes the requests in
    flight.
    """
    if faults is not None:
        _serve_faults(ctx, host, port, faults)
        return
    from cohere_rerank.server.run import serve as run
    from cohere_rerank.server.settings import ServerSettings, keys_from_environment

    settings = ServerSettings(
        api_keys=(*api_keys, *keys_from_environment(os.environ)),
        scorer=None if scorer is None else scorer.removeprefix("local:"),
        upstream=upstream,
        upstream_timeout_s=timeout,
        model=model,
        is_strict=strict,
        concurrency=concurrency,
        queue=queue,
        max_body_bytes=max_body * _MEBIBYTE,
        body_timeout_s=body_timeout,
        request_timeout_s=request_timeout,
        stuck_after_s=stuck_after,
        allowed_hosts=tuple(allowed_hosts) or None,
    )
    if not settings.api_keys and not is_loopback(host):
        notice(f"the server on {host} accepts every caller; set CO_SERVER_API_KEY to require a key")
    run(settings, host=host, port=port, workers=workers)


def _serve_faults(ctx: click.Context, host: str, port: int, file: str) -> None:
    others = [
        option.opts[0]
        for option in ctx.command.params
        if option.name not in _WITH_FAULTS and _is_given(ctx, option.name)
    ]
    if others:
        raise click.UsageError(f"{', '.join(others)} cannot be used with --faults.")
    if not is_loopback(host):
        notice(f"the fault server on {host} accepts every caller; use it for tests only, on a network that you trust")
    from logging.config import dictConfig

    from cohere_rerank.server.logs import log_config
    from cohere_rerank.testing.serve import serve as serve_faults

    dictConfig(log_config())
    serve_faults(host, port, file)


def _is_given(ctx: click.Context, name: str | None) -> bool:
    return name is not None and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
