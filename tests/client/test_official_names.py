"""The names of the official package are ours."""

from __future__ import annotations

import pytest

import cohere_rerank

OTHER_ENDPOINTS = {"GenerateStreamError"}


def test_official_names_are_ours():
    """What the official package has at its top level for v2 rerank, and in its errors module."""
    cohere = pytest.importorskip("cohere")
    starts = ("V2Rerank", "RerankRelevant", "ApiMeta", "ClientV2", "AsyncClientV2", "ClientEnvironment", "Default")
    wanted = {name for name in cohere.__all__ if name.startswith(starts) or name.endswith("Error")}
    assert len(wanted) > 20
    assert wanted - OTHER_ENDPOINTS <= set(cohere_rerank.__all__)
    import cohere.errors

    assert {name for name in dir(cohere.errors) if name.endswith("Error")} <= set(dir(cohere_rerank.errors))


@pytest.mark.parametrize("name", ["BedrockClient", "SagemakerClient", "OciClient", "EmbedByTypeResponse"])
def test_a_name_that_only_the_official_package_has_gets_advice(name):
    """Where it is. The error is an AttributeError, so that hasattr works."""
    assert name in pytest.importorskip("cohere").__all__
    assert not hasattr(cohere_rerank, name)
    with pytest.raises(AttributeError, match=rf"includes rerank only. Use cohere\.{name}"):
        getattr(cohere_rerank, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'not_a_class'$"):
        _ = cohere_rerank.not_a_class


def test_official_request_options_are_ours():
    """Every key of the official RequestOptions, and ``deadline``, which is ours."""
    pytest.importorskip("cohere")
    from cohere.core.request_options import RequestOptions

    assert set(RequestOptions.__annotations__) | {"deadline"} == set(cohere_rerank.RequestOptions.__annotations__)
