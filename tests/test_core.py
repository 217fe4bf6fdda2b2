"""The official package's deeper import paths work with the new name."""

from __future__ import annotations


def test_names_are_where_the_official_package_keeps_them():
    """`from cohere.core.api_error import ApiError` needs only the new package name."""
    import cohere_rerank as cohere
    from cohere_rerank.core import ApiError
    from cohere_rerank.core.request_options import RequestOptions

    assert cohere.core.api_error.ApiError is ApiError is cohere.errors.ApiError
    assert RequestOptions is cohere.RequestOptions
