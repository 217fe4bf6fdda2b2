"""Folding and grams."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.local import analysis
from cohere_rerank.local.analysis import chunks, fold, query_grams, word_starts

TEXTS = [
    "Ökonomie’s Straße in İstanbul: naïve ﬁns, ½ x²",
    "Ο ΔΡΟΜΟΣ, ο δρόμος",
    "Ёлка й чай, Київ",
    "Tiếng Việt: Đà Nẵng",
    "शिक्षा का अधिकार ड़ क़",
    "নিজ রাষ্ট্রের ড় ো",
    "மொழி கொ",
    "서울특별시",
    "がぎぐ ｶﾞｷﾞ",
    "مُدَرِّسَة وَ أَحْمَد ؤ ئ",
    "שָׁלוֹם",
    "ภาษาไทยน้ำ",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_composed_and_decomposed_text_fold_to_the_same(text, form):
    """Composed and decomposed letters fold to the same words."""
    assert fold(unicodedata.normalize(form, text)) == fold(text)


@pytest.mark.parametrize("text", TEXTS)
def test_case_does_not_matter(text):
    """Upper and lower case fold to the same text, also final sigma and sharp s."""
    assert fold(text.upper()) == fold(text) == fold(text.lower())


@given(st.text())
def test_folding_a_folded_text_changes_nothing(text):
    """Folding is idempotent, and returns words between single spaces."""
    folded = fold(text)
    assert fold(folded) == folded
    assert folded == f" {' '.join(folded.split())} "


def test_the_fast_path_agrees_with_the_table():
    """The table does not change the characters that skip it."""
    skipped = (
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if not analysis._CHANGED.match(char) and unicodedata.category(char) != "Cn" and char != " "
    )
    assert [
        char for char in skipped if fold(f"{char}é").split()[0].removesuffix("e") != analysis._FOLD[ord(char)]
    ] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Crème brûlée", "creme brulee"),
        ("D.C. (also 55,274)", "d c also 55 274"),
        ("ERR_CONN_RESET", "err conn reset"),
        ("getUserById()", "getuserbyid"),
        ("٣٤ २०१० １２", "34 2010 12"),
        ("I ❤️ 🍕pizza", "i ❤ \ue355 pizza"),
        ("👨‍👩‍👧", "\ue468 \ue469 \ue467"),
        ("أحمد إلى مدرسة", "احمد الي مدرسه"),
        ("شـــكرا", "شكرا"),
        ("co\u00adoperate", "cooperate"),
        ("हिन्दी।", "हिन्दी"),
        ("-> ... !?", ""),
    ],
)
def test_words(text, words):
    """A word has letters, marks and digits of any script. An emoji is a word, written as one private character."""
    assert fold(text).strip() == words


def test_vowel_signs_stay():
    """Words that differ in an Indic or Thai vowel sign stay different."""
    assert fold("कि") != fold("की")
    assert fold("มี") != fold("มา")


@given(st.text(max_size=200))
def test_a_query_contains_its_grams(query):
    """A folded query contains each of its grams, so a document with the same text matches all of them."""
    folded = fold(query)
    grams = query_grams(query)
    assert all(weight > 0 for weight in grams.values())
    assert [gram for gram in grams if gram not in folded and gram.strip() not in folded] == []


def test_word_beginnings_and_names_weigh_more():
    """The first gram of a word has the highest weight. A name, number or identifier outweighs other words."""
    grams = query_grams("where is Paris")
    assert grams[" whe"] > grams["wher"] > grams["here"]
    assert grams[" par"] > grams[" whe"]
    assert query_grams("the ERR_RESET code")[" err"] > query_grams("the err reset code")[" err"]


def test_a_capital_at_the_start_does_not_mark_a_name():
    """Every sentence starts with a capital, so it does not mark a name."""
    assert query_grams("Where is it") == query_grams("where is it")
    assert query_grams("¿Dónde está?") == query_grams("¿dónde está?")


def test_unspaced_scripts_start_anywhere():
    """In a script without spaces, words start at each letter. In others they start at spaces."""
    assert word_starts(fold("two words")) == [0, 4, 10]
    assert len(word_starts(fold("東京タワー"))) == len(" 東京タワー ")


# Each keeps `unicodedata.normalize` busy for minutes when it is normalized as it is: marks of different combining
# classes that have to be sorted.
MARK_RUNS = [
    "a" + "\u0315\u0300\u05ae\u0300" * 40_000,
    "e" + "\u0301\u0327" * 80_000,
    "カ" + "\u3099\u0315" * 80_000,
    "ｶ" + "\uff9e\u0315" * 80_000,  # a letter by its category, a mark once it is normalized
    "क" + "\u0951\u093c" * 80_000 + "é",
    "ก" + "\u0e38\u0e48" * 80_000 + "e\u0301",
    "a" + "\u302e\u0302" * 80_000,  # a spacing mark
    "a" + "\u0344\u0f73" * 80_000,  # marks that stand for two marks each
    "a" + "\U0001d165\U0001e8d0\u0345\u0300" * 40_000,  # marks beyond the first plane
    "".join(char for char in map(chr, range(0x300, 0x1F000)) if unicodedata.combining(char)) * 100,
]


def _longest_mark_run(text):
    longest = run = 0
    for char in unicodedata.normalize("NFKD", text):
        run = run + 1 if unicodedata.combining(char) else 0
        longest = max(longest, run)
    return longest


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", MARK_RUNS, ids=range(len(MARK_RUNS)))
def test_long_runs_of_marks_are_cut_before_normalization(text):
    """A run of combining marks of any kind is cut after 30, so normalization stays linear."""
    safe = analysis.stream_safe(text)
    assert _longest_mark_run(safe) <= 2 * 30  # two where one character stands for two marks
    assert safe[:30] == text[:30]
    fold(text)


@pytest.mark.parametrize("text", [*TEXTS, "-" * 100, "。、" * 50, "👩\u200d👩\u200d👧" * 40, "a" + "\u0301" * 30 + "b"])
def test_text_without_a_long_run_of_marks_is_not_changed(text):
    """Natural text, long lines of signs included, is not cut."""
    assert analysis.stream_safe(text) == text


@given(
    st.text(st.sampled_from("abÀé ,\n\u03a3\u0439\u6f22\u304c\uac00\u0e01\u0e34\u0635\u00bd\U0001f355"), max_size=400)
)
def test_a_long_text_is_folded_like_a_short_one(text):
    """A long text is folded in parts, and the result is the same."""
    whole = fold(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "_MIN_GROWTH", 10_000)  # each part may grow
        patch.setattr(analysis, "_CHUNK_CHARS", 5)
        assert fold(text)[: len(whole) - 1] == whole[:-1]


def test_a_text_without_spaces_is_cut_too():
    """No part is longer than 20,000 characters, and nothing is lost."""
    text = "\u0e01" * 50_000
    parts = list(chunks(text))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 20_000
