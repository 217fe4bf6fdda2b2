"""The pytest plugin, in runs of its own: found by itself, absent when told, and free for those who do not use it."""

from __future__ import annotations

import os
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
    """A run without our settings; other plugins stay out, they load what they like."""
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
        pytest.skip("the package is not installed anew since it has a plugin: pip install -e .")


def test_the_fixtures_work_without_an_import(is_installed, tmp_path):
    """What the guide shows, under asyncio and trio; a proxy of the machine is not asked for 127.0.0.1."""
    (tmp_path / "test_it.py").write_text(SUITE, encoding="utf-8")
    done = run_pytest(tmp_path, HTTP_PROXY="http://127.0.0.1:9")
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


def test_a_suite_that_does_not_use_it_loads_next_to_nothing(is_installed, tmp_path):
    """The plugin, and the few lines that importing the package takes; nothing that its features would need."""
    (tmp_path / "conftest.py").write_text(WATCHED, encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    done = run_pytest(tmp_path, "-s", "-p", "cohere_rerank")
    assert "1 passed" in done.stdout, done.stdout
    (loaded,) = [line for line in done.stdout.splitlines() if "LOADED" in line]
    mine = [f"cohere_rerank.{name}" for name in ("_lazy", "_version", "testing", "testing.plugin")]
    assert loaded.endswith(f"LOADED [] {mine}")


def test_it_can_be_left_out(is_installed, tmp_path):
    """`-p no:cohere_rerank`, with plugins found by themselves: its fixtures are not there, all else is."""
    (tmp_path / "test_it.py").write_text(
        "def test_one(fake_cohere):\n    pass\n\n\ndef test_two(tmp_path):\n    pass\n", encoding="utf-8"
    )
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""}
    done = run_pytest(tmp_path, "-W", "default", "-p", "no:cohere_rerank", **environment)
    assert "fixture 'fake_cohere' not found" in done.stdout and "1 passed, 1 error" in done.stdout
    done = run_pytest(tmp_path, "-W", "default", "-p", "no:unknown", **environment)
    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("name", cohere_rerank.testing.__all__)
def test_names_come_late_and_all_are_there(name):
    """`from cohere_rerank.testing import NAME`."""
    assert getattr(cohere_rerank.testing, name).__name__ == name
    assert name in dir(cohere_rerank.testing)


def test_a_name_that_is_not_there_is_an_attribute_error():
    """As for any module."""
    with pytest.raises(AttributeError, match="FaultyServer"):
        cohere_rerank.testing.FaultyServer  # noqa: B018
