"""Folding, grams and the token estimate."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.local import analysis
from cohere_rerank.local.analysis import fold, query_grams, word_starts

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
def test_composed_and_decomposed_text_fold_alike(text, form):
    """However a text spells its marks, its words are the same."""
    assert fold(unicodedata.normalize(form, text)) == fold(text)


@pytest.mark.parametrize("text", TEXTS)
def test_case_does_not_matter(text):
    """Upper and lower case fold alike, final sigma and sharp s included."""
    assert fold(text.upper()) == fold(text) == fold(text.lower())


@given(st.text())
def test_folding_a_folded_text_changes_nothing(text):
    """Folding is idempotent, and gives words between single spaces."""
    folded = fold(text)
    assert fold(folded) == folded
    assert folded == f" {' '.join(folded.split())} "


def test_quick_way_agrees_with_the_table():
    """Every character that skips the table is one that the table leaves alone."""
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
        ("I ❤️ 🍕pizza", "i ❤ 🍕 pizza"),
        ("👨‍👩‍👧", "👨 👩 👧"),
        ("أحمد إلى مدرسة", "احمد الي مدرسه"),
        ("شـــكرا", "شكرا"),
        ("co\u00adoperate", "cooperate"),
        ("हिन्दी।", "हिन्दी"),
        ("-> ... !?", ""),
    ],
)
def test_words(text, words):
    """What a word is: letters, marks and digits of any script; a sign of its own for an emoji."""
    assert fold(text).strip() == words


def test_vowel_signs_stay():
    """Indic and Thai vowel signs are letters to a reader: words that differ in them stay apart."""
    assert fold("कि") != fold("की")
    assert fold("มี") != fold("มา")


@given(st.text(max_size=200))
def test_every_gram_stands_in_its_own_text(query):
    """A query holds each of its grams, so that a copy of it as document covers it fully."""
    folded = fold(query)
    grams = query_grams(query)
    assert all(weight > 0 for weight in grams.values())
    assert [gram for gram in grams if gram not in folded and gram.strip() not in folded] == []


def test_word_beginnings_and_names_weigh_more():
    """The first gram of a word outweighs the later ones; a name, number or identifier its neighbours."""
    grams = query_grams("where is Paris")
    assert grams[" whe"] > grams["wher"] > grams["here"]
    assert grams[" par"] > grams[" whe"]
    assert query_grams("the ERR_RESET code")[" err"] > query_grams("the err reset code")[" err"]


def test_a_capital_at_the_start_says_nothing():
    """Every sentence starts with one."""
    assert query_grams("Where is it") == query_grams("where is it")
    assert query_grams("¿Dónde está?") == query_grams("¿dónde está?")


def test_unspaced_scripts_start_anywhere():
    """Words start at each letter of a script without spaces, else at spaces."""
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
def test_no_run_of_marks_is_long_when_it_is_normalized(text):
    """A run of combining marks of any kind is cut after 30, so normalization stays linear."""
    safe = analysis.stream_safe(text)
    assert _longest_mark_run(safe) <= 2 * 30  # two where one character stands for two marks
    assert safe[:30] == text[:30]
    fold(text)


@pytest.mark.parametrize("text", [*TEXTS, "-" * 100, "。、" * 50, "👩\u200d👩\u200d👧" * 40, "a" + "\u0301" * 30 + "b"])
def test_text_without_a_long_run_of_marks_is_left_as_it_is(text):
    """Natural text, long lines of signs included, is not cut."""
    assert analysis.stream_safe(text) == text
