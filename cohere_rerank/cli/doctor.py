"""``cohere-rerank doctor``: check the connection, the key and the API format of a server."""

from __future__ import annotations

from dataclasses import asdict

import click

from cohere_rerank._settings import Config

from ._common import header_option, model_option, write_json
from ._failures import FAILED, one_line
from ._values import SCORERS, complete, examples

__all__ = ["doctor"]

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog=examples("doctor", "doctor http://localhost:8000 --timeout 3"))
@click.argument("url", required=False, shell_complete=complete(SCORERS))
@model_option("Name of the model.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    help="Limit of each step and each request. The look-up of the name has no limit.",
)
@header_option
@click.option("--json", "as_json", is_flag=True, help="Print each finding as a line of JSON.")
@click.pass_context
def doctor(
    ctx: click.Context, url: str | None, model: str, timeout: float, headers: dict[str, str], as_json: bool
) -> None:
    """Check the server at URL step by step.

    The steps are name, connection, TLS, key, API formats with their paths, limits and latency. Each line says ok, warn
    or fail, and what to do. The exit code is 1 if a step failed, else 0.

    The default of URL is CO_API_URL, else Cohere's API. The URL local: checks the local engine. The address of a cloud,
    such as bedrock:us-east-1, is checked with one request: choose its --model.

    The command sends at most five requests with two documents each, with the key from the environment. A server may
    bill them.
    """
    from ._diagnosis import diagnose, diagnose_cloud, diagnose_local

    config = Config(api_key="", base_url=url, headers=headers)
    address, has_failed = config.base_url, False
    if config.is_local:
        findings = diagnose_local(address)
    elif config.cloud is not None:
        findings = diagnose_cloud(address, model, timeout, headers)
    else:
        findings = diagnose(address, model, timeout, config.headers or {})
    for finding in findings:
        has_failed |= finding.status == "fail"
        message = one_line(finding.message)
        if as_json:
            write_json([{**asdict(finding), "message": message}])
            continue
        status = click.style(f"{finding.status:4}", fg=_COLORS[finding.status])
        click.echo(f"{status}  {finding.check:8} {message}")
        if finding.advice:
            click.echo(f"{'':15}{finding.advice}")
    if has_failed:
        ctx.exit(FAILED)
