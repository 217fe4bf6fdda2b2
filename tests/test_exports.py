"""What `cohere_rerank` offers: complete, sorted, importable, and loaded only when asked for."""

from __future__ import annotations

import pkgutil

import pytest

import cohere_rerank

PUBLIC_MODULES = [
    module.name
    for module in pkgutil.walk_packages(cohere_rerank.__path__, "cohere_rerank.")
    if not any(part.startswith("_") for part in module.name.split("."))
]


def in_order(names):
    """Constants, then classes, then the rest, each by name: the order that ruff keeps."""
    return sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


@pytest.mark.parametrize("name", cohere_rerank.__all__)
def test_every_name_of_all_can_be_had(name):
    """`from cohere_rerank import NAME` works for each NAME in `__all__`."""
    assert getattr(cohere_rerank, name) is not None


def test_all_is_sorted_and_without_doubles():
    """Readers find a name where they look for it."""
    assert list(cohere_rerank.__all__) == in_order(cohere_rerank.__all__)


def test_all_is_what_dir_shows():
    """`dir()`, and so completion in a shell, knows the names that are loaded late."""
    assert set(cohere_rerank.__all__) <= set(dir(cohere_rerank))


def test_a_name_that_is_not_there_is_an_attribute_error():
    """Late loading keeps Python's own answer to a typing mistake."""
    with pytest.raises(AttributeError, match="Clientv2"):
        cohere_rerank.Clientv2  # noqa: B018


def test_both_clients_can_be_had_from_the_module_of_the_clients():
    """The asynchronous one too, by a star as well; a typing mistake stays one."""
    from cohere_rerank import client

    names: dict[str, object] = {}
    exec("from cohere_rerank.client import *", names)
    assert names["AsyncClientV2"] is client.AsyncClientV2 is cohere_rerank.AsyncClientV2
    assert names["ClientV2"] is cohere_rerank.ClientV2
    with pytest.raises(AttributeError, match="AsyncClientv2"):
        client.AsyncClientv2  # noqa: B018


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_every_public_module_says_what_is_public(module_name):
    """A module without underscore has an `__all__`, sorted, whose names exist, and a docstring."""
    # An extra may be absent here; test_light_import.py holds the module to naming it.
    module = pytest.importorskip(module_name, exc_type=ImportError)
    assert module.__doc__
    names = getattr(module, "__all__", [])
    assert list(names) == in_order(names)
    assert all(is_there(module, name) for name in names)


def is_there(module, name):
    """Whether a public name exists; one that is loaded late may need an extra that is absent here."""
    try:
        return hasattr(module, name)
    except ImportError as error:
        return "cohere-rerank[" in str(error)


def test_nothing_public_is_missing_at_the_top():
    """Both clients, every result type and every error can be had from `cohere_rerank` itself."""
    from cohere_rerank import errors, types

    public = {"AsyncClientV2", "ClientV2", "errors", *types.__all__, *errors.__all__}
    assert sorted(public - set(cohere_rerank.__all__)) == []
