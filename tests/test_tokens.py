"""The estimate of tokens: how it counts, and where it cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank._tokens import estimate_tokens, truncate

TEXTS = st.text(st.sampled_from("aé b漢か글😀") | st.characters(codec="utf-8"), max_size=300)


@pytest.mark.parametrize(
    ("document", "max_tokens", "kept"),
    [
        ("abcdefgh", 2, "abcdefgh"),
        ("abcdefghi", 2, "abcdefgh"),
        ("東京タワー", 2, "東京"),
        ("서울 시청", 2, "서울"),
        ("é" * 9, 2, "é" * 8),
        ("ab東京", 1, "ab"),
        ("🍕🍕", 1, "🍕"),
        ("", 1, ""),
    ],
)
def test_truncate_counts_letters_by_script(document, max_tokens, kept):
    """Four characters are a token; a character of Han, kana, Hangul or an emoji is one."""
    assert truncate(document, max_tokens) == kept


@given(TEXTS, st.integers(1, 80), st.integers(1, 80))
def test_truncate_keeps_a_prefix_that_grows(document, a, b):
    """More tokens never keep less; what is kept is a prefix."""
    few, many = truncate(document, min(a, b)), truncate(document, max(a, b))
    assert document.startswith(many)
    assert many.startswith(few)


@given(TEXTS, st.integers(1, 80))
def test_truncate_keeps_as_much_as_the_estimate_allows(document, max_tokens):
    """What is kept has at most that many tokens, and one more character would have more."""
    kept = truncate(document, max_tokens)
    assert estimate_tokens(kept) <= max_tokens
    assert kept == document or estimate_tokens(document[: len(kept) + 1]) > max_tokens
