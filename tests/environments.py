"""Environments of their own for tests that need packages which the development environment does not have.

    environment = environments.make("agno", "mem0ai>=2", extras=["server"])
    environment.run("-c", "import agno, cohere_rerank")  # returns what it printed; a failure shows all output
    environment.run_code(source)
    environment.version("agno")

uv makes an environment within seconds. It is kept in `.cache/environments/` of the checkout, and it is made again when
the dependencies in pyproject.toml change. To get newer releases, delete that folder. The package itself is installed
editable, so every environment has the code of the checkout. Mark tests that use one as `slow`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from cohere_rerank._file_lock import try_lock, unlock

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "environments"
MAX_WAIT_S = 900  # for another process that makes the same environment
SETTINGS = dict(os.environ)  # with the proxies and certificates of this machine, which fixtures hide from tests
READY = "ready.json"  # written last: an environment without it is incomplete, and is made again

# No test may report to a vendor, wait for a download, or change files of the person who runs it.
QUIET = {
    "AGNO_TELEMETRY": "false",
    "ANONYMIZED_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "false",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "true",
    "MEM0_TELEMETRY": "false",
    "OTEL_SDK_DISABLED": "true",
}
HIDDEN = ("CO_", "COHERE_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")


class InstallError(Exception):
    """uv could not make an environment."""


class Environment(NamedTuple):
    """A virtual environment with this checkout and the wanted packages."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(
        self,
        *arguments: object,
        cwd: Path | None = None,
        timeout_s: float = 300,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run the interpreter with these arguments, and return what it printed. A failure shows all output.

        Args:
            *arguments: Such as ``"-c", "print(1)"`` or the path of a script.
            cwd: The working directory. Default: an empty home directory of the environment.
            timeout_s: Seconds after which the process is killed.
            env: Further environment variables.
        """
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
        done = subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=cwd or home,
            env={**kept, "HOME": str(home), "PYTHONIOENCODING": "utf-8", **QUIET, **(env or {})},
            capture_output=True,
            encoding="utf-8",
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def run_code(self, source: str, **options: object) -> str:
        """Run a program and return what it printed. Its errors show its lines."""
        name = hashlib.sha256(source.encode()).hexdigest()[:16]
        script = self.folder / f"script-{name}-{os.getpid()}.py"
        script.write_text(source, encoding="utf-8")
        try:
            return self.run(script, **options)  # type: ignore[arg-type]
        finally:
            script.unlink()

    def version(self, package: str) -> str:
        """The installed version of a package."""
        versions = json.loads((self.folder / READY).read_text(encoding="utf-8"))
        return str(versions[canonical(package)])


def canonical(package: str) -> str:
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def make(*requirements: str, extras: Iterable[str] = ()) -> Environment:
    """Return an environment with this checkout, its extras and these requirements. Make it if it does not exist.

    Args:
        *requirements: Such as ``"agno"`` or ``"cohere>=7"``.
        extras: Extras of this package.

    Raises:
        InstallError: uv could not install them. The message has its output.
    """
    wanted = sorted(set(requirements))
    names = ",".join(sorted(set(extras)))
    environment = Environment(FOLDER / key(wanted, names))
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked(environment.folder.with_suffix(".lock")):
        if not (environment.folder / READY).exists():
            install(environment, [*wanted, "--editable", f"{ROOT}[{names}]" if names else str(ROOT)])
    return environment


def get(*requirements: str, extras: Iterable[str] = ()) -> Environment:
    """As `make`, in a test: the test fails with a short message if uv cannot install the packages."""
    try:
        return make(*requirements, extras=extras)
    except InstallError as error:
        pytest.fail(str(error), pytrace=False)


def key(requirements: list[str], extras: str) -> str:
    """Name an environment after all that decides what is in it."""
    parts = [*requirements, extras, sys.version, dependencies()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def dependencies() -> str:
    """The part of pyproject.toml that says what an installation needs."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return text[: text.index("[dependency-groups]")]


def install(environment: Environment, what: list[str]) -> None:
    """Make an environment, and write the versions of its packages to `READY` at the end."""
    folder = environment.folder
    shutil.rmtree(folder, ignore_errors=True)
    run_uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    run_uv("pip", "install", "--quiet", "--python", str(environment.python), *what)
    listed = json.loads(run_uv("pip", "list", "--quiet", "--format", "json", "--python", str(environment.python)))
    versions = {canonical(package["name"]): package["version"] for package in listed}
    unfinished = folder / f"{READY}.part"
    unfinished.write_text(json.dumps(versions), encoding="utf-8")
    unfinished.replace(folder / READY)


def run_uv(*arguments: str) -> str:
    """Run uv with the settings of this machine, and return what it printed."""
    kept = {name: value for name, value in SETTINGS.items() if not name.startswith(HIDDEN)}
    done = subprocess.run(
        [sys.executable, "-m", "uv", *arguments],
        cwd=FOLDER,
        env={**kept, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROJECT": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=MAX_WAIT_S,
    )
    if done.returncode != 0:
        raise InstallError(
            f"uv {' '.join(arguments)} failed. This test installs packages in an environment of its own, so it needs"
            f" the network (or uv's cache) and the package `uv`:\n{done.stderr[-3000:]}"
        )
    return done.stdout


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between the processes of pytest-xdist. The system releases the lock of a process that was killed."""
    with path.open("ab") as file:
        for _ in range(MAX_WAIT_S * 10):
            with contextlib.suppress(BlockingIOError):
                try_lock(file.fileno())
                break
            time.sleep(0.1)
        else:
            raise InstallError(f"another process has held {path} for {MAX_WAIT_S} s; stop it, or delete the file")
        try:
            yield
        finally:
            unlock(file.fileno())
