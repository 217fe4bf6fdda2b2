"""What pyproject.toml says of the dependencies.

Run it to print the lowest versions as requirements: ``python -m tests.dependencies``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest needs it on Python 3.10

PROJECT_FILE = Path(__file__).resolve().parent.parent / "pyproject.toml"
HEAVY = {"daft", "ray"}  # the extras that no environment of the suite has
# The lowest versions of these need newer versions of other packages than the rest allows. Each is tested by itself.
FRAMEWORKS = {"haystack-ai", "langchain-core", "llama-index-core"}


def read_project():
    """The table `project` of pyproject.toml."""
    return tomllib.loads(PROJECT_FILE.read_text(encoding="utf-8"))["project"]


def requirements(*, of_extras=False):
    """The run-time requirements, or those of all extras but the heavy ones and `all`."""
    project = read_project()
    if not of_extras:
        return [Requirement(text) for text in project["dependencies"]]
    extras = project["optional-dependencies"]
    return [Requirement(text) for name in extras if name not in HEAVY | {"all"} for text in extras[name]]


def lower_bound(requirement):
    """The lowest version that a requirement allows; None if it has no lower bound."""
    versions = [Version(part.version) for part in requirement.specifier if part.operator in {">=", "=="}]
    return max(versions, default=None)


def lowest_versions(python):
    """The lowest versions of all but the frameworks, as arguments of pip, for a version of Python such as "3.10"."""
    pins = {}
    for requirement in [*requirements(), *requirements(of_extras=True)]:
        if requirement.name in FRAMEWORKS:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            pins[requirement.name] = max(lower_bound(requirement), pins.get(requirement.name, Version("0")))
    return [f"{name}=={version}" for name, version in pins.items()]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest_versions(f"{sys.version_info.major}.{sys.version_info.minor}")) + "\n")
