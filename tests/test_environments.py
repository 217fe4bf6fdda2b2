"""The environments of their own in which tests run with real packages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests import environments

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SMALL = "iniconfig"  # a package without dependencies


@pytest.fixture
def own_folder(monkeypatch, tmp_path):
    """A folder for environments that starts empty."""
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "environments")
    return tmp_path / "environments"


def test_environment_has_this_checkout_and_the_packages():
    """A program in it imports the code of this checkout and the wanted package, and sees no key of this machine."""
    environment = environments.get(SMALL)
    source = """
import cohere_rerank, iniconfig, json, os
print(json.dumps([cohere_rerank.__file__, iniconfig.__file__, os.environ.get("CO_API_KEY"), os.getcwd()]))
"""
    package, other, api_key, cwd = json.loads(environment.run_code(source))
    assert package == str(environments.ROOT / "cohere_rerank" / "__init__.py")
    assert other.startswith(str(environment.folder))
    assert api_key is None
    assert cwd == str(environment.folder / "home")
    assert environment.version(SMALL)[0].isdigit()


def test_failure_of_a_program_shows_its_output():
    """The test fails with all that the program printed."""
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        environments.get(SMALL).run_code("1 / 0")


def test_second_use_installs_nothing(monkeypatch):
    """An environment that is complete is used as it is."""
    first = environments.get(SMALL)
    monkeypatch.setattr(environments, "run_uv", lambda *_: pytest.fail("uv ran again"))
    assert environments.get(SMALL) == first
    assert environments.key([SMALL], "") != environments.key([SMALL], "cli")


@pytest.mark.skipif(os.name == "nt", reason="not on Windows: it kills with SIGKILL")
def test_environment_of_a_killed_process_is_made_again(own_folder):
    """An incomplete environment is not used, and the lock of the killed process does not block."""
    source = f"""
import pathlib, time
from tests import environments
environments.FOLDER = pathlib.Path({str(own_folder)!r})
real = environments.run_uv
def stop_after_venv(*arguments):
    if arguments[0] == "pip":
        print("half made", flush=True)
        time.sleep(600)
    return real(*arguments)
environments.run_uv = stop_after_venv
environments.make({SMALL!r})
"""
    half = subprocess.Popen(
        [sys.executable, "-c", source], cwd=environments.ROOT, env=environments.SETTINGS, stdout=subprocess.PIPE
    )
    assert half.stdout is not None
    with half.stdout:
        assert half.stdout.readline() == b"half made\n"
        half.send_signal(signal.SIGKILL)
    half.wait()
    environment = environments.get(SMALL)
    assert environment.run("-c", "import iniconfig; print(1)") == "1\n"


def test_two_processes_make_an_environment_once(own_folder):
    """The second one waits for the first."""
    source = f"""
import pathlib
from tests import environments
environments.FOLDER = pathlib.Path({str(own_folder)!r})
real = environments.install
def install(*arguments):
    print("installs", flush=True)
    real(*arguments)
environments.install = install
environments.make({SMALL!r})
"""
    command = [sys.executable, "-c", source]
    both = [
        subprocess.Popen(command, cwd=environments.ROOT, env=environments.SETTINGS, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate()[0].count(b"installs") for process in both].count(1) == 1
    assert [process.returncode for process in both] == [0, 0]


def test_package_that_cannot_be_installed_gives_a_clear_message(own_folder, monkeypatch):
    """Without a network, the message says what failed and what it needs."""
    monkeypatch.setitem(environments.SETTINGS, "UV_OFFLINE", "1")
    with pytest.raises(environments.InstallError, match=r"needs the network") as caught:
        environments.make("a-package-that-uv-has-not-in-its-cache-1b2f==1")
    assert "a-package-that-uv-has-not" in str(caught.value)
