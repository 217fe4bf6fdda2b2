"""The public names of every module: complete, sorted, importable, and imported only when they are used."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import cohere_rerank

# Each package and module of the package's own top level, with the public modules inside it.
PACKAGES: dict[str, list[str]] = {}
for module_ in pkgutil.walk_packages(cohere_rerank.__path__, "cohere_rerank."):
    if not any(part.startswith("_") for part in module_.name.split(".")):
        PACKAGES.setdefault(module_.name.split(".")[1], []).append(module_.name)


def in_order(names):
    """Constants, then classes, then the rest, each by name: the order that ruff keeps."""
    return sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def problems_of(module):
    """What is wrong with the public names of a module, a sentence each."""
    names = list(getattr(module, "__all__", []))
    problems = [] if module.__doc__ else ["it has no docstring"]
    if names != in_order(names):
        problems.append(f"__all__ is not sorted, or has a name twice; expected {in_order(names)}")
    problems += [f"__all__ has {name}, which cannot be imported" for name in names if not is_importable(module, name)]
    hidden = sorted(set(names) - set(dir(module)))
    return [*problems, *([f"dir() does not show {', '.join(hidden)}"] if hidden else [])]


def is_importable(module, name):
    """Whether a public name exists. One that is imported lazily may need an extra that is not installed here."""
    try:
        return hasattr(module, name)
    except ImportError as error:
        return "cohere-rerank[" in str(error)


def test_the_public_names_of_the_package_are_sorted_and_importable():
    """`from cohere_rerank import NAME` works for each NAME in `__all__`, and completion shows it."""
    assert problems_of(cohere_rerank) == []


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_the_public_names_of_each_module_are_sorted_and_importable(package):
    """A module without an underscore has a docstring, and an `__all__` whose names are sorted and exist."""
    problems = []
    for name in PACKAGES[package]:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            # An extra may be absent here; test_light_import.py checks that the message names it.
            if "cohere-rerank[" not in str(error):
                raise
        else:
            problems += [f"{name}: {problem}" for problem in problems_of(module)]
    assert not problems, "\n".join(problems)


def test_a_wrong_name_in_all_is_found():
    """The checks above see a name that is missing, a wrong order and a missing docstring."""
    module = ModuleType("broken")
    module.__all__ = ["b", "a"]
    module.b = 1
    assert [problem.split(";")[0] for problem in problems_of(module)] == [
        "it has no docstring",
        "__all__ is not sorted, or has a name twice",
        "__all__ has a, which cannot be imported",
        "dir() does not show a",
    ]


def test_a_misspelled_name_is_an_attribute_error():
    """Lazy imports keep Python's own error for a misspelled name."""
    with pytest.raises(AttributeError, match="Clientv2"):
        cohere_rerank.Clientv2  # noqa: B018


def test_both_clients_can_be_imported_from_the_module_of_the_clients():
    """`cohere_rerank.client` has the asynchronous client too, by name and by a star. A misspelled name is an error."""
    from cohere_rerank import client

    names: dict[str, object] = {}
    exec("from cohere_rerank.client import *", names)
    assert names["AsyncClientV2"] is client.AsyncClientV2 is cohere_rerank.AsyncClientV2
    assert names["ClientV2"] is cohere_rerank.ClientV2
    with pytest.raises(AttributeError, match="AsyncClientv2"):
        client.AsyncClientv2  # noqa: B018


def test_results_and_errors_can_be_imported_from_the_package():
    """Both clients, every result type and every error are names of `cohere_rerank` itself."""
    from cohere_rerank import errors, types

    public = {"AsyncClientV2", "ClientV2", "errors", *types.__all__, *errors.__all__}
    assert sorted(public - set(cohere_rerank.__all__)) == []


STANDARD = {"Any", "AsyncIterable", "Awaitable", "Callable", "Executor", "Iterable", "Iterator", "Literal", "builtins"}
STANDARD |= {"Mapping", "Self", "Sequence", "TracebackType", "Unpack", "httpx", "os", "ssl", *dir(builtins)}


def all_members(public):
    return [member for kind in getattr(public, "__mro__", []) for member in vars(kind).values()]


def type_names(public):
    """The names in the annotations of a public function, or of a class's public methods."""
    members = [public] if inspect.isfunction(public) else all_members(public)
    for member in members:
        function = member.fget if isinstance(member, property) else member
        if not inspect.isfunction(function) or not function.__module__.startswith("cohere_rerank"):
            continue
        if function.__name__.startswith("_") and function.__name__ != "__init__":
            continue
        for annotation in function.__annotations__.values():
            tree = ast.parse(annotation, mode="eval") if isinstance(annotation, str) else ast.Pass()
            yield from (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def test_types_in_public_signatures_can_be_imported():
    """What public functions and methods take and return can be imported from a public package."""
    packages = (cohere_rerank, cohere_rerank.batch, cohere_rerank.limits, cohere_rerank.integrations.aws)
    public = {name for package in packages for name in package.__all__}
    objects = [getattr(cohere_rerank, name) for name in cohere_rerank.__all__]
    used = {name for each in objects if hasattr(each, "__dict__") for name in type_names(each)} - STANDARD
    assert {"AsyncBatch", "Clock", "Documents", "ModelName", "RawResponse"} <= used
    internal = {"AsyncCalls", "Calls", "Reply"}  # of constructors that only the package itself calls
    assert sorted(used - public - internal) == []
