"""The values of options: what a command accepts, and how it prints numbers and the names of options."""

from __future__ import annotations

from typing import get_args

import click
import pytest

from cohere_rerank import ClientV2, ModelName
from cohere_rerank.cli._failures import in_options
from cohere_rerank.cli._program import program
from cohere_rerank.cli._values import DEFAULT_MODEL, DIALECT, MODELS, SCORERS, counted


def test_the_shell_completes_every_known_model():
    """The type ModelName has the same names for editors."""
    names, _ = get_args(ModelName)
    assert {*get_args(names), DEFAULT_MODEL} <= {*MODELS}


@pytest.mark.parametrize("dialect", DIALECT.choices)
def test_the_client_accepts_every_dialect_of_the_command_line(dialect):
    """The two lists are the same."""
    with ClientV2("key-of-a-test", dialect=dialect):
        pass
    with pytest.raises(ValueError, match=dialect):
        ClientV2("key-of-a-test", dialect="unknown")


@pytest.mark.parametrize("address", [scorer for scorer in SCORERS if "=" not in scorer])
def test_every_completed_scorer_is_an_address(address):
    """A client can be created with it."""
    with ClientV2(base_url=address):
        pass


@pytest.mark.parametrize(
    ("n", "noun", "text"),
    [
        (0, "row", "0 rows"),
        (1, "row", "1 row"),
        (1.0, "search unit", "1 search unit"),
        (1.5, "search unit", "1.5 search units"),
        (1_234_567, "row", "1,234,567 rows"),
        (1_234_567.5, "search unit", "1,234,567.5 search units"),
    ],
)
def test_numbers_have_separators_and_one_has_the_singular(n, noun, text):
    """Large numbers are never in scientific notation."""
    assert counted(n, noun) == text


@pytest.mark.parametrize(
    ("command", "message", "shown"),
    [
        ("rank", "base_url must look like X", "--base-url must look like X"),
        ("rank", "cannot connect; check base_url", "cannot connect; check --base-url"),
        ("rank", "query must not be blank", "QUERY must not be blank"),
        ("rank", "the query is blank", "the query is blank"),
        ("rank", "raise deadline= or max_retries=0", "raise --timeout or --max-retries"),
        ("rank", "rank_fields has no title", "--field has no title"),
        ("doctor", "base_url must look like X", "URL must look like X"),
        ("batch", "set resume=True, or retry_errors", "set --resume, or --retry-errors"),
        ("batch", "relevance_score of rows", "relevance_score of rows"),
    ],
)
def test_messages_name_options_instead_of_arguments(command, message, shown):
    """Only names of the running command are replaced, and words of a sentence are not."""
    found = program.get_command(click.Context(program), command)
    assert found is not None
    with click.Context(found):
        assert in_options(message) == shown
