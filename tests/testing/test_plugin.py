"""The pytest plugin, tested in pytest runs of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import cohere_rerank.testing

SUITE = '''
import os

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, ServiceUnavailableError


def best(question, passages):
    """Code under test, which makes its own client."""
    with ClientV2(max_retries=0) as client:
        response = client.rerank(model="m", query=question, documents=passages, top_n=1)
    return passages[response.results[0].index]


def test_code_under_test_finds_the_fake(fake_cohere):
    fake_cohere.reply([0.1, 0.9])
    assert best("q", ["a", "b"]) == "b"
    assert fake_cohere.calls[0].documents == ["a", "b"]
    assert fake_cohere.calls[0].key == "test-key"


def test_an_outage(fake_cohere):
    fake_cohere.fail(status=503)
    with pytest.raises(ServiceUnavailableError):
        best("q", ["a", "b"])


def test_each_test_has_a_fake_of_its_own(fake_cohere):
    assert fake_cohere.calls == []


def test_the_environment_is_as_before():
    assert "CO_API_URL" not in os.environ


def test_local(local_cohere):
    assert local_cohere.rerank(model="m", query="tea", documents=["coffee", "tea"]).results[0].index == 1


@pytest.mark.anyio
async def test_async_local(async_local_cohere):
    assert isinstance(async_local_cohere, AsyncClientV2)
    response = await async_local_cohere.rerank(model="m", query="tea", documents=["coffee", "tea"])
    assert response.results[0].index == 1
'''

WATCHED = """
import sys


def pytest_sessionfinish(session):
    heavy = {"asyncio", "httpx", "pydantic", "yaml", "h11", "vcr"} & set(sys.modules)
    print("LOADED", sorted(heavy), sorted(name for name in sys.modules if name.startswith("cohere_rerank.")))
"""


def run_pytest(folder, *options, **environment):
    """Run pytest without the settings of this project and without other plugins."""
    plugin = ("-p", "cohere_rerank", "-p", "anyio") if "-p" not in options else ()
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *plugin, *options],
        cwd=folder,
        env={
            **{name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "PYTHONPATH") if name in os.environ},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def is_installed():
    from importlib.metadata import entry_points

    if "cohere_rerank" not in {point.name for point in entry_points(group="pytest11")}:
        pytest.skip("this installation of the package has no plugin: pip install -e .")


def test_the_fixtures_work_without_an_import(is_installed, tmp_path):
    """The fixtures work as the guide shows, under asyncio and trio, and without the proxy of the machine."""
    (tmp_path / "test_it.py").write_text(SUITE, encoding="utf-8")
    done = run_pytest(tmp_path, HTTP_PROXY="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


def test_a_suite_without_the_fixtures_loads_almost_nothing(is_installed, tmp_path):
    """The plugin loads only itself and the start of the package."""
    (tmp_path / "conftest.py").write_text(WATCHED, encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    done = run_pytest(tmp_path, "-s", "-p", "cohere_rerank")
    assert "1 passed" in done.stdout, done.stdout
    (loaded,) = [line for line in done.stdout.splitlines() if "LOADED" in line]
    mine = [f"cohere_rerank.{name}" for name in ("_lazy", "_version", "testing", "testing.plugin")]
    assert loaded.endswith(f"LOADED [] {mine}")


def test_the_package_is_not_compiled_for_assertions(is_installed, tmp_path):
    """pytest does that with the packages of plugins. It takes time, and fails where threads import at the same time."""
    (tmp_path / "test_it.py").write_text(
        "import cohere_rerank.client\n\ndef test_it():\n"
        "    assert 'Rewriting' not in type(cohere_rerank.client.__loader__).__name__\n",
        encoding="utf-8",
    )
    done = run_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout


def test_the_plugin_can_be_disabled(is_installed, tmp_path):
    """With `-p no:cohere_rerank` the fixtures do not exist, and other tests run."""
    (tmp_path / "test_it.py").write_text(
        "def test_one(fake_cohere):\n    pass\n\n\ndef test_two(tmp_path):\n    pass\n", encoding="utf-8"
    )
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""}
    done = run_pytest(tmp_path, "-W", "default", "-p", "no:cohere_rerank", **environment)
    assert "fixture 'fake_cohere' not found" in done.stdout and "1 passed, 1 error" in done.stdout
    done = run_pytest(tmp_path, "-W", "default", "-p", "no:unknown", **environment)
    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("name", cohere_rerank.testing.__all__)
def test_every_public_name_can_be_imported(name):
    """`from cohere_rerank.testing import NAME` works for every name in `__all__`."""
    assert getattr(cohere_rerank.testing, name).__name__ == name
    assert name in dir(cohere_rerank.testing)


def test_an_unknown_name_is_an_attribute_error():
    """The lazy imports do not hide a misspelled name."""
    with pytest.raises(AttributeError, match="FaultyServer"):
        cohere_rerank.testing.FaultyServer  # noqa: B018


FAILING_SUITE = """
from cohere_rerank.testing import FaultServer


def test_condition(fake_cohere, monkeypatch):
    monkeypatch.setattr("cohere_rerank.testing.socket_server.TIMEOUT_S", 0.01)
    fake_cohere.wait_until(lambda server: server.calls)


def test_field(fake_cohere):
    fake_cohere.fail(staus=503)


def test_scores(fake_cohere):
    fake_cohere.reply("high")


def test_plan():
    FaultServer({"faults": [{"status": 99}]})


def test_next_plan(fake_cohere):
    fake_cohere.load_plan({"limit": "free"})
"""


def test_a_failure_shows_the_line_of_the_test_and_no_frame_of_the_kit(is_installed, tmp_path):
    """pytest points to the test that made the mistake, and shows the message of the error."""
    (tmp_path / "test_it.py").write_text(FAILING_SUITE, encoding="utf-8")
    done = run_pytest(tmp_path)
    assert "5 failed" in done.stdout, done.stdout
    calls = ("wait_until(", "fail(staus=503)", 'reply("high")', 'FaultServer({"faults"', 'load_plan({"limit"')
    marked = [line for line in done.stdout.splitlines() if line.startswith(">")]
    assert [call for call, line in zip(calls, marked, strict=True) if call not in line] == []
    assert "faults[0].status" in done.stdout
    assert not re.search(r"(faults|plan_file|socket_server)\.py", done.stdout)
