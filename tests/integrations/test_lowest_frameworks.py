"""The lowest versions of the frameworks that the extras allow. They do not fit beside those of other dependencies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import environments
from tests.dependencies import FRAMEWORKS, lower_bound, requirements

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(1200)]

HOME = Path(__file__).parent
# The modules that conftest.py and the tests import besides pytest.
NEEDED = ["hypothesis", "packaging", "pytest", "pytest-timeout", "trio", "trustme", "vcrpy"]
TESTS = {
    "haystack-ai": ("haystack", "test_haystack.py", []),
    "langchain-core": ("langchain", "test_langchain.py", ["langchain-classic", "langgraph"]),
    "llama-index-core": ("llama-index", "test_llama_index.py", []),
}


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_a_component_works_with_the_lowest_version_of_its_framework(framework):
    """Each test of the component passes with it, in an environment of its own."""
    extra, file, others = TESTS[framework]
    (requirement,) = [each for each in requirements(of_extras=True) if each.name == framework]
    pin = f"{framework}=={lower_bound(requirement)}"
    environment = environments.get(pin, *others, *NEEDED, extras=[extra])
    output = environment.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--import-mode=importlib"),
        *("--rootdir", HOME.parents[1], "-m", "not slow", "-W", "ignore::pytest.PytestUnknownMarkWarning", HOME / file),
        cwd=HOME.parents[1],
        timeout_s=600,
    )
    assert " passed" in output
    assert "skipped" not in output
