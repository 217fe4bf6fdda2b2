"""Relevant spans."""

from __future__ import annotations

import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.errors import ScorerError
from cohere_rerank.local.scorer import FunctionScorer
from cohere_rerank.local.spans import find_spans

WASHINGTON = (
    "Washington, D.C. (also known as simply Washington or D.C., and officially as the District of Columbia) is the "
    "capital of the United States. It is a federal district. It has 3.5 museums per street! Has it?"
)


def texts(query, document, **options):
    """Return the texts of the spans, best first."""
    options = {"threshold": -1.0, "max_spans": None, **options}
    return [document[start:end] for start, end, _ in find_spans(query, document, **options)]


def test_best_sentence_first():
    """Spans are whole sentences, best first. Initials and decimals do not end a sentence."""
    found = texts("What is the capital of the United States?", WASHINGTON)
    assert found[0].endswith("is the capital of the United States.")
    assert found[0].startswith("Washington, D.C.")
    assert sorted(found[1:]) == ["Has it?", "It has 3.5 museums per street!", "It is a federal district."]


@pytest.mark.parametrize(
    ("query", "document", "best"),
    [
        (
            "日本の首都はどこですか",
            "富士山は高い山です。日本の首都は東京です。「行こう。」と言った。",
            "日本の首都は東京です。",
        ),
        ("法国的首都", "德国很大。法国的首都是巴黎！他们去了。", "法国的首都是巴黎！"),
        ("भारत की राजधानी", "नेपाल छोटा है। भारत की राजधानी दिल्ली है। वह बड़ी है।", "भारत की राजधानी दिल्ली है।"),
        ("የኢትዮጵያ ዋና ከተማ", "ወንዙ ረጅም ነው። የኢትዮጵያ ዋና ከተማ አዲስ አበባ ነው። ሰላም።", "የኢትዮጵያ ዋና ከተማ አዲስ አበባ ነው።"),
        ("ما عاصمة مصر؟", "هل هي كبيرة؟ عاصمة مصر هي القاهرة. النيل طويل.", "عاصمة مصر هي القاهرة."),
        ("מה בירת צרפת?", "גרמניה גדולה. בירת צרפת היא פריז. כן!", "בירת צרפת היא פריז."),
        ("city name", "Name: Oslo\nCity name: Paris\n", "City name: Paris"),
    ],
)
def test_sentences_of_many_scripts(query, document, best):
    """The sentence marks of each script end a span, and so do line breaks."""
    assert texts(query, document)[0] == best


def test_text_without_marks_is_cut_into_windows():
    """Thai has no sentence marks, so it is cut into windows of at most 400 characters, at spaces if possible."""
    document = "ภาษาไทย " * 100 + "เมืองหลวงของญี่ปุ่นคือโตเกียว" + " ภาษาไทย" * 100
    found = texts("เมืองหลวงของญี่ปุ่น", document)
    assert "เมืองหลวงของญี่ปุ่นคือโตเกียว" in found[0]
    assert max(map(len, found)) <= 400
    assert max(map(len, texts("x", "あ" * 1000))) == 400


@given(st.text(alphabet=st.sampled_from("ab .!?。\n\"'」A5あ́🍕"), max_size=1500))
def test_offsets_are_code_points_of_the_document(document):
    """Spans do not overlap, have no white space at their ends, and cover every other character."""
    spans = sorted(find_spans("a b", document, threshold=-1.0, max_spans=None))
    covered = ""
    end_before = 0
    for start, end, score in spans:
        assert end_before <= start < end <= len(document)
        assert document[start:end] == document[start:end].strip()
        assert 0.0 <= score <= 1.0
        covered += document[start:end]
        end_before = end
    assert "".join(covered.split()) == "".join(document.split())


@given(st.floats(0, 1), st.integers(1, 5))
def test_threshold_and_max_spans(threshold, max_spans):
    """The spans are those above the threshold, in falling order, and at most ``max_spans`` of them."""
    find = partial(find_spans, "the federal capital of the United States", WASHINGTON)
    every = find(threshold=-1.0, max_spans=None)
    scores = [score for _, _, score in every]
    assert scores == sorted(scores, reverse=True)
    above = [span for span in every if span[2] > threshold]
    assert find(threshold=threshold, max_spans=None) == above
    assert find(threshold=threshold, max_spans=max_spans) == above[:max_spans]


def test_equal_sentences_are_in_the_order_of_the_text():
    """Spans with equal scores are in the order of the text."""
    spans = find_spans("ready", "Ready. Steady. Ready.", threshold=0.0, max_spans=None)
    assert [start for start, _, _ in spans][:2] == [0, 15]


@pytest.mark.parametrize("document", ["", "  \n\n ", "\u3000"])
def test_no_text_has_no_spans(document):
    """White space alone has no spans."""
    assert find_spans("a", document, threshold=0.0, max_spans=None) == []


def test_any_scorer():
    """Another scorer gets the same sentences."""
    longest = FunctionScorer(lambda query, documents: [len(text) / 100 for text in documents])
    spans = find_spans("", "One. Two and three. Four.", threshold=0.045, max_spans=None, scorer=longest)
    assert spans == [(5, 19, 0.14), (20, 25, 0.05)]


def test_a_wrong_number_of_scores_is_an_error():
    """Wrong scores raise an error."""
    with pytest.raises(ScorerError, match="0 scores for 1 documents"):
        find_spans("a", "b", threshold=0.0, max_spans=None, scorer=FunctionScorer(lambda query, documents: []))


@pytest.mark.parametrize("piece", ["!", "...", '."', "a", "a. ", "\n", "。", '"', "?) ", "१।"])
def test_a_million_characters_take_bounded_time(piece):
    """No text makes the pattern for sentences or the windows slow."""
    document = piece * (1_000_000 // len(piece))
    started = time.process_time()
    find_spans("a b", document, threshold=0.5, max_spans=3)
    assert time.process_time() - started < 30
