"""What is shipped: the wheel and the sdist hold what they should, and the suite passes on them.

The suite comes from the unpacked sdist and the package from the installed wheel, so nothing here
can find a module in the checkout by accident.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parent.parent
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def find_python(version):
    """A `pythonX.Y` that runs: on PATH, or of pyenv, whose shims on PATH may not."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    for python in [*([on_path] if on_path else []), *pyenv.glob(f"{version}.*/bin/python")]:
        asked = [python, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
        if done.stdout.strip() == version:
            return python
    return None


# Those that can be had here; with none, pytest says so and skips.
OTHER_PYTHONS = [v for v in ("3.10", "3.11", "3.12", "3.13", "3.14") if v != THIS_PYTHON and find_python(v)]

# What says in seconds whether an interpreter or a dependency version can carry the package.
SMOKE = [
    "client",
    "test_examples.py",
    "test_exports.py",
    "test_light_import.py",
    "transport",
    "wire/test_documents.py",
]
# Rooms with files that are no modules, or with entry points: what a wheel may lack.
ROOMS_WITH_DATA = ["cli", "local/test_calibration.py", "local/test_lexical.py", "testing"]
HEAVY = ("daft", "ray")  # extras that no environment of the suite has


def run(*command, cwd=None, timeout=300):
    """Run a command as someone without settings would; its output, or an error with all it said."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CO_", "COHERE_", "PYTEST_", "PYTHON"))
    }
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist_and_wheel(tmp_path_factory):
    """Both archives; the wheel is built from the sdist, as an installer without wheels would."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.fixture
def suite(sdist_and_wheel, tmp_path):
    """The unpacked sdist without the package: tests, docs and examples."""
    with tarfile.open(sdist_and_wheel[0]) as archive:
        # From Python 3.12 on, and in security releases before it, a filter is asked for.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safely)
    (unpacked,) = tmp_path.iterdir()
    shutil.rmtree(unpacked / "cohere_rerank")
    return unpacked


def test_wheel_is_the_package_and_its_licence(sdist_and_wheel):
    """Types are marked, the licence is inside, tests and docs are not, and it stays small."""
    with zipfile.ZipFile(sdist_and_wheel[1]) as wheel:
        names = wheel.namelist()
        n_bytes = sum(info.file_size for info in wheel.infolist())
    assert "cohere_rerank/py.typed" in names
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cohere_rerank").rglob("*.py")}
    assert package == {name for name in names if name.endswith(".py")}
    assert {name.partition("/")[0].rpartition(".")[2] for name in names} == {
        "cohere_rerank",
        "dist-info",
    }
    assert n_bytes < 1_000_000


def test_sdist_can_be_worked_with(sdist_and_wheel):
    """It holds the suite, the docs and the Makefile, and nothing that a build left behind."""
    with tarfile.open(sdist_and_wheel[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {"LICENSE", "Makefile", "README.md", "hatch_build.py", "pyproject.toml", "zensical.toml"}
    assert wanted | {"tests/test_package.py", "docs/index.md", "examples/demo.py"} <= names
    left_behind = ("__pycache__", ".venv", ".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", "site/")
    assert not [name for name in names if any(mark in name for mark in left_behind)]


def new_environment(python, folder):
    """An empty virtual environment; its interpreter."""
    run(python, "-m", "venv", "--clear", "--without-pip", folder)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def pip_install(python, *what):
    """Install into the environment of *python* with our own pip."""
    run(sys.executable, "-m", "pip", "--quiet", "--python", python, "install", *what)


def run_suite(python, suite, *options):
    """Run the suite with *python*, and make sure it was the installed package that ran."""
    where = run(python, "-c", "import cohere_rerank; print(cohere_rerank.__file__)", cwd=suite)
    assert Path(where.strip()).is_relative_to(python.parent.parent)
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not exhaustive")
    summary = run(python, *command, *options, cwd=suite, timeout=900).splitlines()[-1]
    assert " passed" in summary
    return summary


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([*SMOKE, *ROOMS_WITH_DATA], id="smoke"),
        pytest.param([], id="whole", marks=pytest.mark.exhaustive),
    ],
)
def test_suite_passes_on_the_installed_wheel(paths, sdist_and_wheel, suite, tmp_path_factory):
    """Nothing in the suite depends on the checkout. No network: dependencies are lent by ours."""
    python = new_environment(sys.executable, tmp_path_factory.mktemp("wheel"))
    pip_install(python, "--no-deps", "--no-index", sdist_and_wheel[1])
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A folder named in a .pth file lends its packages, but its own .pth files (the editable
    # install of the checkout is one) are not read.
    (Path(purelib) / "lent.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    run_suite(python, suite, *[f"tests/{path}" for path in paths])


def environment_with(python, name, what, cache):
    """An environment with *what* installed, kept in pytest's cache until the project file changes."""
    folder = cache.mkdir("environments") / name
    ready = folder / "ready"
    key = f"{python} {what} {hashlib.sha256((ROOT / 'pyproject.toml').read_bytes()).hexdigest()}"
    if ready.exists() and ready.read_text(encoding="utf-8") == key:
        return folder / "bin" / "python"
    made = new_environment(python, folder)
    try:
        pip_install(made, *what)
    except AssertionError as error:
        pytest.skip(f"dependencies for {name} cannot be installed here: {str(error)[-300:]}")
    ready.write_text(key, encoding="utf-8")
    return made


def dependencies(*, of_extras):
    """What the metadata asks for: at run time, or for all extras together."""
    stated = importlib.metadata.requires("cohere-rerank") or []
    return [
        requirement.partition(";")[0].strip()
        for requirement in stated
        if ("extra ==" in requirement) == of_extras
        and not requirement.startswith("cohere-rerank")
        and not any(f"extra == '{extra}'" in requirement.replace('"', "'") for extra in HEAVY)
    ]


def environment_for(version, sdist_and_wheel, cache, *, name="", extra=(), group="test-core"):
    """An interpreter *version* with the wheel, its dependencies and a dependency group."""
    python = find_python(version)
    what = [*dependencies(of_extras=False), *extra, "--group", f"{ROOT / 'pyproject.toml'}:{group}"]
    made = environment_with(python, f"python{version}{name}", what, cache)
    pip_install(made, "--no-deps", "--no-index", "--force-reinstall", sdist_and_wheel[1])
    return made


@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_smoke_on_other_pythons(version, sdist_and_wheel, suite, pytestconfig):
    """The wheel works, without any extra, on every interpreter found."""
    python = environment_for(version, sdist_and_wheel, pytestconfig.cache)
    run_suite(python, suite, *[f"tests/{name}" for name in SMOKE])


@pytest.mark.exhaustive
@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_suite_on_other_pythons(version, sdist_and_wheel, suite, pytestconfig):
    """The whole suite passes on every interpreter found."""
    python = environment_for(
        version, sdist_and_wheel, pytestconfig.cache, name="-full", extra=dependencies(of_extras=True), group="test"
    )
    run_suite(python, suite)


@pytest.mark.exhaustive
def test_suite_on_the_lowest_dependencies(sdist_and_wheel, suite, pytestconfig):
    """The lower bounds in the metadata are true."""
    pins = [requirement.replace(">=", "==") for requirement in dependencies(of_extras=False)]
    python = environment_for("3.10", sdist_and_wheel, pytestconfig.cache, name="-lowest", extra=pins)
    run_suite(python, suite, *[f"tests/{name}" for name in SMOKE])
