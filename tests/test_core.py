"""A program that only reranks works after its import line is changed."""

from __future__ import annotations

import importlib

import cohere
import pytest

import cohere_rerank
from cohere_rerank import AsyncClient, AsyncClientV2, Client, ClientV2

PATHS = {
    "client": ["AsyncClient", "AsyncClientV2", "Client", "ClientV2"],
    "client_v2": ["AsyncClientV2", "ClientV2"],
    "core": ["ApiError", "RequestOptions"],
    "core.api_error": ["ApiError"],
    "core.request_options": ["RequestOptions"],
    "environment": ["ClientEnvironment"],
    "errors": ["BadRequestError", "TooManyRequestsError", "UnauthorizedError"],
    "types": ["ApiMeta", "RerankResponse", "RerankResponseResultsItem", "RerankResponseResultsItemDocument"],
    "v2": ["V2RerankResponse", "V2RerankResponseResultsItem"],
    "v2.types": ["V2RerankResponse", "V2RerankResponseResultsItem"],
}


@pytest.mark.parametrize("module", PATHS)
def test_names_are_where_the_official_package_has_them(module):
    """``from cohere.core import RequestOptions`` needs only the new package name."""
    theirs = importlib.import_module(f"cohere.{module}") if module != "client" else None
    ours = importlib.import_module(f"cohere_rerank.{module}")
    for name in PATHS[module]:
        assert theirs is None or hasattr(theirs, name)
        assert getattr(ours, name).__name__ == name
        if hasattr(cohere_rerank, name):
            assert getattr(ours, name) is getattr(cohere_rerank, name)


def test_the_package_has_its_submodules():
    """``cohere.core.api_error.ApiError`` can be reached without an import of its own."""
    assert cohere_rerank.core.api_error.ApiError is cohere_rerank.errors.ApiError


@pytest.mark.parametrize("kind", [Client, ClientV2, AsyncClient, AsyncClientV2])
def test_other_endpoints_say_what_to_use(kind):
    """``client.chat`` is an AttributeError with one line that names the official client."""
    theirs = getattr(cohere, kind.__name__)("k")
    ours = kind("k")
    other = {name for name in dir(theirs) if not name.startswith("_")} - set(dir(ours))
    assert {"chat", "embed", "classify", "tokenize"} <= other
    for name in ("chat", "embed", "classify", "tokenize"):
        assert not hasattr(ours, name)
        with pytest.raises(AttributeError, match=f"has no {name}: .* rerank only. Use cohere.{kind.__name__}"):
            getattr(ours, name)
    with pytest.raises(AttributeError, match="object has no attribute 'rerankk'"):
        _ = ours.rerankk
