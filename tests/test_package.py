"""What is published: the wheel and the sdist have the right files, and the suite passes on them.

The suite comes from the unpacked sdist and the package from the installed wheel, so no test can find a module in the
checkout by accident.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.dependencies import lowest_versions, requirements

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parent.parent
NAMESPACES = "cohere_rerank/integrations/namespaces/"  # packages that the wheel has at its top
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def find_python(version):
    """A `pythonX.Y` that runs: on PATH, or of pyenv, whose shims on PATH may not run."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    for python in [*([on_path] if on_path else []), *pyenv.glob(f"{version}.*/bin/python")]:
        command = [python, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.stdout.strip() == version:
            return python
    return None


OTHER_PYTHONS = [v for v in ("3.10", "3.11", "3.12", "3.13", "3.14") if v != THIS_PYTHON and find_python(v)]

# These files show within seconds whether an interpreter can run the package at all.
SMOKE = [
    "client/test_arguments.py",
    "client/test_pickles_and_loops.py",
    "client/test_results.py",
    "transport/test_loops_and_forks.py",
    "transport/test_reuse.py",
    "transport/test_tls.py",
    "wire/test_documents.py",
    "test_exports.py",
    "test_light_import.py",
]
# These features have data files or entry points, which a wheel may lack.
FEATURES_WITH_DATA = ["cli", "local/test_calibration.py", "local/test_lexical.py", "testing"]


def run(*command, cwd=None, timeout=300, keep_ci=False):
    """Run a command without the settings of this machine, and return its output. A failure shows all output.

    A skipped test is a failure in CI. An environment that lacks some extras on purpose must not know that this is CI.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CO_", "COHERE_", "PYTEST_", "PYTHON")) and (keep_ci or name != "CI")
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
    """Both archives. The wheel is built from the sdist, as pip does it without a wheel."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.fixture
def suite(sdist_and_wheel, tmp_path):
    """The unpacked sdist without the package: tests, documentation and examples."""
    with tarfile.open(sdist_and_wheel[0]) as archive:
        # Python 3.12 and security releases of older ones want a filter.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safely)
    (unpacked,) = tmp_path.iterdir()
    shutil.rmtree(unpacked / "cohere_rerank")
    return unpacked


def test_wheel_is_the_package_and_its_licence(sdist_and_wheel):
    """It has the package, the marker for types and the licence, no tests and no documentation, and is small."""
    with zipfile.ZipFile(sdist_and_wheel[1]) as wheel:
        names = wheel.namelist()
        n_bytes = sum(info.file_size for info in wheel.infolist())
    assert "cohere_rerank/py.typed" in names
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cohere_rerank").rglob("*.py")}
    assert {name.removeprefix(NAMESPACES) for name in sources} == {name for name in names if name.endswith(".py")}
    assert {name.partition("/")[0].rpartition(".")[2] for name in names} == {
        "cohere_rerank",
        "haystack_integrations",
        "dist-info",
    }
    assert n_bytes < 4_000_000  # unpacked; the official package has more than 10 MB


def test_sdist_has_what_a_contributor_needs(sdist_and_wheel):
    """It has the tests, the documentation and the Makefile, and no leftovers of a build."""
    with tarfile.open(sdist_and_wheel[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {"LICENSE", "Makefile", "README.md", ".ci/hatch_build.py", "pyproject.toml", "zensical.toml"}
    assert wanted | {"tests/test_package.py", "docs/index.md", "examples/demo.py"} <= names
    left_behind = ("__pycache__", ".venv", ".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", "site/")
    assert not [name for name in names if any(mark in name for mark in left_behind)]


def new_environment(python, folder):
    """Make an empty virtual environment and return its interpreter."""
    run(python, "-m", "venv", "--clear", "--without-pip", folder)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def pip_install(python, *what):
    """Install into the environment of *python* with our own pip."""
    run(sys.executable, "-m", "pip", "--quiet", "--python", python, "install", *what, timeout=900)


def run_suite(python, suite, *options, keep_ci=False):
    """Run the suite with *python*, and check that it tested the installed package."""
    where = run(python, "-c", "import cohere_rerank; print(cohere_rerank.__file__)", cwd=suite)
    assert Path(where.strip()).is_relative_to(python.parent.parent)
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not exhaustive", *options)
    summary = run(*command, cwd=suite, timeout=3300, keep_ci=keep_ci).splitlines()[-1]
    assert " passed" in summary
    return summary


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([*SMOKE, *FEATURES_WITH_DATA], id="smoke"),
        pytest.param([], id="whole", marks=pytest.mark.exhaustive),
    ],
)
def test_suite_passes_on_the_installed_wheel(paths, sdist_and_wheel, suite, tmp_path_factory):
    """No test depends on the checkout. The wheel is installed without a network: it borrows our dependencies."""
    python = new_environment(sys.executable, tmp_path_factory.mktemp("wheel"))
    pip_install(python, "--no-deps", "--no-index", sdist_and_wheel[1])
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A .pth file makes the packages of a folder importable, but not its .pth files. So the editable install of the
    # checkout, which is such a file, is not found.
    (Path(purelib) / "borrowed.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    run_suite(python, suite, *[f"tests/{path}" for path in paths], keep_ci=True)


def environment_with(python, name, what, cache):
    """An environment with *what* installed. pytest's cache keeps it until pyproject.toml changes."""
    folder = cache.mkdir("environments") / name
    ready = folder / "ready"
    key = f"{python} {what} {hashlib.sha256((ROOT / 'pyproject.toml').read_bytes()).hexdigest()}"
    if ready.exists() and ready.read_text(encoding="utf-8") == key:
        return folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    made = new_environment(python, folder)
    try:
        pip_install(made, *what)
    except AssertionError as error:
        pytest.skip(f"dependencies for {name} cannot be installed here: {str(error)[-300:]}")
    ready.write_text(key, encoding="utf-8")
    return made


def environment_for(version, sdist_and_wheel, cache, *, name="", what=(), group="test-core"):
    """An interpreter with the wheel, the requirements in *what*, and a dependency group."""
    python = find_python(version)
    made = environment_with(
        python, f"python{version}{name}", [*what, "--group", f"{ROOT / 'pyproject.toml'}:{group}"], cache
    )
    pip_install(made, "--no-deps", "--no-index", "--force-reinstall", sdist_and_wheel[1])
    return made


@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_smoke_on_other_pythons(version, sdist_and_wheel, suite, pytestconfig):
    """The wheel works without any extra on every Python that is found here."""
    what = [str(requirement) for requirement in requirements()]
    python = environment_for(version, sdist_and_wheel, pytestconfig.cache, what=what)
    run_suite(python, suite, *[f"tests/{name}" for name in SMOKE])


@pytest.mark.exhaustive
@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_suite_on_other_pythons(version, sdist_and_wheel, suite, pytestconfig):
    """The whole suite passes with all extras on every Python that is found here."""
    what = [str(requirement) for requirement in [*requirements(), *requirements(of_extras=True)]]
    python = environment_for(version, sdist_and_wheel, pytestconfig.cache, name="-full", what=what, group="test")
    run_suite(python, suite, "-n", "auto", "--dist", "worksteal")


@pytest.mark.exhaustive
@pytest.mark.skipif(not find_python("3.10"), reason="needs Python 3.10")
def test_suite_on_the_lowest_dependencies(sdist_and_wheel, suite, pytestconfig):
    """The whole suite passes on Python 3.10 with the lowest version of every dependency and extra."""
    python = environment_for(
        "3.10",
        sdist_and_wheel,
        pytestconfig.cache,
        name="-lowest",
        what=lowest_versions("3.10"),
        group="test-lowest",
    )
    run_suite(python, suite, "-n", "auto", "--dist", "worksteal")
