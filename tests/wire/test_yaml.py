"""Our YAML against libyaml's and PyYAML's: the same text, and the same data when read back."""

from __future__ import annotations

import datetime
import itertools
import math
import re

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cohere_rerank._wire.documents import to_yaml

WIDE = {"sort_keys": False, "allow_unicode": True, "width": 2**31 - 1}
# libyaml escapes characters above U+FFFF; for the comparison others, which it calls printable, stand in for them.
ASTRAL = list("😀👨👩👧🏽🇪🇺𝕏𠀀𐍈𓀀\U0001fffe\U0010fffd\U0010ffff\U00010000")
STAND_INS = [chr(0xF000 + n) for n in range(len(ASTRAL))]

LETTERS = "aZ0é日\u200d\u00a0\ue000"
SYNTAX = " \n:#-?.,'\"\\[]{}&*!|>%@`~<=+_"
CONTROLS = "\0\x07\t\r\x1b\x7f\x85\x9f\u2028\u2029\ufeff\ufffe\uffff"


def plain_types(dumper):
    """The dumper without aliases: an object met twice is written twice."""
    return type(dumper.__name__, (dumper,), {"ignore_aliases": lambda self, data: True})


def mapped(data, table):
    """The data with every character of its strings replaced by the table."""
    if isinstance(data, str):
        return data.translate(table)
    if isinstance(data, dict):
        return {mapped(key, table): mapped(value, table) for key, value in data.items()}
    return [mapped(item, table) for item in data] if isinstance(data, list) else data


def libyaml(data):
    """What libyaml writes, with characters above U+FFFF as themselves."""
    if not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    there = str.maketrans(dict(zip(ASTRAL, STAND_INS, strict=True)))
    back = str.maketrans(dict(zip(STAND_INS, ASTRAL, strict=True)))
    return yaml.dump(mapped(data, there), Dumper=plain_types(yaml.CSafeDumper), **WIDE).translate(back)


def pure_python(data):
    """What PyYAML writes without libyaml."""
    return yaml.dump(data, Dumper=plain_types(yaml.SafeDumper), **WIDE)


def assert_same_texts(strings, reference=libyaml, as_keys=True):
    """Each string is written as the reference writes it, as a value, in a list and as a key."""
    strings = list(dict.fromkeys(strings))
    documents = [{"f": strings}, *([dict(zip(strings, strings, strict=True))] if as_keys else [])]
    for document in documents:
        if to_yaml(document) != reference(document):  # find the one: pytest would compare megabytes
            assert [(to_yaml({s: s}), s) for s in strings] == [(reference({s: s}), s) for s in strings]
        assert to_yaml(document) == reference(document)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_short_strings_are_written_as_libyaml_writes_them(length):
    """Style depends on a character, its neighbours and the ends, so all short strings cover all decisions."""
    alphabet = "aé" + SYNTAX + CONTROLS if length < 3 else "a \n:#-?.'\"\\\t\r\x85\u2028é,[{&%~0=<"
    assert_same_texts("".join(letters) for letters in itertools.product(alphabet, repeat=length))


def test_longer_strings_of_what_matters_most_are_written_as_libyaml_writes_them():
    """All strings of four and five characters over spaces, breaks and the indicators that depend on them."""
    assert_same_texts("".join(letters) for letters in itertools.product("a \n:#-'", repeat=5))
    assert_same_texts("".join(letters) for letters in itertools.product("a \n\u2028\t'\"\x85", repeat=4))


def test_strings_that_look_like_numbers_are_quoted_as_libyaml_quotes_them():
    """All short strings over the characters of numbers, dates and sexagesimals."""
    assert_same_texts("".join(letters) for letters in itertools.product("01-+.:_eExb ", repeat=4))


WORDS = """
    y n yes no true false on off null ~ .inf .nan inf nan 1e5 1.0e+5 6.8523015e+5 685.230_15e+03 190:20:30.15 0x1F
    0b1_0 0o17 017 08 1_000 12:30 12:30:45 190:20:30 2024-01-02 2024-1-2 2024-01-02T03:04:05Z 2024-01-02t3:04:05.5+1
    2024-1-2_3:4:5 << = --- ... -- .. -0b1_0 +.5 -.5 . + - 1. 1.e+3 99999999999999999999 é1 None True
""".split()  # noqa: SIM905


def test_words_with_a_meaning_are_quoted_as_libyaml_quotes_them():
    """YAML's words, numbers and dates, and texts that are almost one, single and in pairs."""
    words = [form for word in WORDS for form in (word, word.upper(), word.title(), word.replace("_", " "))]
    around = [
        f"{before}{word}{after}" for word in words for before in ("", "-", "+", " ", "_") for after in ("", *"\n x:.0")
    ]
    assert_same_texts([*around, *(f"{one}{gap}{two}" for one in words for two in WORDS for gap in " :")])


@pytest.mark.parametrize("form", ["a{}b", "{}"])
def test_every_character_is_written_as_libyaml_writes_it(form):
    """All characters of the basic plane, inside a word and as a whole string."""
    characters = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    characters = [c for c in characters if c not in STAND_INS]
    assert_same_texts([form.format(c) for c in characters], as_keys=False)


def test_every_character_above_the_basic_plane_stands_as_it_is():
    """Emoji and rare ideographs are never escaped, even in a string that needs escapes."""
    characters = [chr(code) for code in range(0x10000, 0x110000, 7)] + [chr(0x10FFFF)]
    assert to_yaml({"f": characters}) == "f:\n" + "".join(f"- {c}\n" for c in characters)
    assert to_yaml({"f": "".join(characters) + "\t"}) == 'f: "' + "".join(characters) + '\\t"\n'


texts = st.one_of(
    st.text(st.sampled_from(LETTERS + SYNTAX), max_size=12),
    st.text(st.sampled_from([*LETTERS, *SYNTAX, *CONTROLS, *ASTRAL]), max_size=12),
    st.lists(st.sampled_from(["word", "it's", "a:", "#1", "\n", "\n\n", "été", "日本", "😀"]), max_size=30).map(
        " ".join
    ),
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=STAND_INS, max_codepoint=0xFFFF)),
)
dates = st.dates() | st.datetimes(timezones=st.none() | st.just(datetime.timezone.utc)).map(lambda t: t.replace(fold=0))
numbers = st.integers() | st.floats() | st.booleans() | st.none()
simple_keys = st.one_of(
    texts.filter(lambda key: len(key) < 40),  # the bound on a key is in bytes, of which stand-ins have fewer
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False),
    dates,
)
long_keys = st.sampled_from(["k" * 128, "k" * 129, "é" * 64, "é" * 65, "k " * 80, "two\nlines " * 20])
keys = simple_keys | long_keys


def mappings(keys, values):
    """Mappings with fields: lists and mappings of the values in any nesting."""
    nested = st.recursive(
        values, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=10
    )
    return st.dictionaries(keys, nested, min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(mappings(keys, texts | numbers | dates))
@example({"k" * 129: [[1, [2]], {"a": [{"b": {}}]}, []]})
@example({"a": [[["x"], []], {"two\nlines": ["y", {"z": "one\n two"}]}]})
def test_documents_are_written_as_libyaml_writes_them(document):
    """Any nesting of any values under any keys."""
    assert to_yaml(document) == libyaml(document)


SHAPES = [1, "a: b", [], {}]
for _ in range(3):
    SHAPES = [1, "x\ny", [], {}, *([s] for s in SHAPES), *({"a": s} for s in SHAPES), *([s, 2] for s in SHAPES)] + [
        {"k" * 129: s, "b": 3} for s in SHAPES
    ]


def test_every_shape_is_indented_as_libyaml_indents_it():
    """All nestings, three deep, of lists and mappings, empty or not, under short and long keys."""
    document = {"f": SHAPES, "g": dict(enumerate(SHAPES)), "k" * 129: SHAPES}
    assert to_yaml(document) == libyaml(document)


# Elsewhere PyYAML's own writer escapes a character, sets a key apart, or writes what does not read back.
agreed_texts = texts.filter(lambda text: not re.search("[\x85\U00010000-\U0010ffff]", text))
agreed_keys = st.text(st.sampled_from(LETTERS + SYNTAX.replace("\n", "")), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(mappings(agreed_keys, agreed_texts | numbers | dates))
def test_documents_are_written_as_pyyaml_writes_them_without_libyaml(document):
    """PyYAML's two writers agree on nearly everything, and there we write the same."""
    assert to_yaml(document) == pure_python(document)


@settings(max_examples=100, deadline=None)
@given(mappings(keys | st.text(), texts | st.text(st.characters()) | numbers | dates))
@example({"lone surrogate": "a\ud800b", "\udfff": "\ud83d\ude00 \U0001f600"})
@example({"breaks": ["\n", "\u2028\n", "\n\u2029", "a\x85\nb", " \n ", "a\n\n\u2028\n\nb", "\r\n", "\ufeff"]})
def test_whatever_is_written_reads_back_as_the_same_data_in_the_same_order(document):
    """``yaml.safe_load`` returns the document: values, types and the order of keys, at any depth."""
    written = to_yaml(document)
    assert repr(yaml.safe_load(written)) == repr(document)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff")))
def test_text_in_one_line_stays_in_one_line_and_is_never_escaped(text):
    """A reader, human or model, finds the words as they were; at most a quote is doubled."""
    written = to_yaml({"f": text})
    assert written in {f"f: {text}\n", "f: '" + text.replace("'", "''") + "'\n"}


def test_long_text_is_not_folded():
    """A paragraph stays on its line, however it is quoted."""
    for paragraph in ("word " * 5000 + "end", "it's: " * 5000 + "end", "tab\t " * 5000 + "end", "日本 " * 5000 + "語"):
        assert to_yaml({"f": paragraph}).count("\n") == 1


def test_an_object_met_twice_is_written_twice():
    """No anchors and aliases, which no reader of text understands."""
    tags, author = ["a", "b"], {"name": "x" * 40}
    written = to_yaml({"one": tags, "two": tags, "by": author, "for": [author, author]})
    assert "&" not in written
    assert "*" not in written
    assert written.count("- a\n- b\n") == 2


def test_numbers_are_written_in_the_form_that_reads_back():
    """YAML 1.1 wants a point and a signed exponent; NaN and the infinities have their own words."""
    values = [1e20, 1e-7, 3.0, -0.0, 2**70, float("inf"), float("-inf"), True, None]
    written = to_yaml({"f": [*values, float("nan")]})
    assert "1.0e+20" in written
    assert written.endswith("- true\n- null\n- .nan\n")
    *loaded, nan = yaml.safe_load(written)["f"]
    assert repr(loaded) == repr(values)
    assert math.isnan(nan)


def test_the_memory_of_keys_keeps_indentations_apart():
    """A long key is indented at its own place, also if it was written at another place before."""
    key = "two\nlines"
    document = {key: {key: {key: [{key: 1}]}}}
    assert yaml.safe_load(to_yaml(document)) == document
    assert to_yaml(document) == libyaml(document)
