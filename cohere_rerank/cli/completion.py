"""``cohere-rerank completion``: a script for the shell that completes commands, options and values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

_SETUP_LINES = {
    "bash": 'eval "$(cohere-rerank completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(cohere-rerank completion zsh)"  # in ~/.zshrc',
    "fish": "cohere-rerank completion fish > ~/.config/fish/completions/cohere-rerank.fish",
}


@click.command(
    short_help="Print a script for completion in a shell.",
    epilog="\n  ".join(["\b\nExamples:", *_SETUP_LINES.values()]),
)
@click.argument("shell", type=click.Choice(list(_SETUP_LINES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which SHELL completes commands, options and values."""
    kind = get_completion_class(shell)
    assert kind is not None, shell  # click has all three
    click.echo(kind(ctx.find_root().command, {}, "cohere-rerank", "_COHERE_RERANK_COMPLETE").source())
