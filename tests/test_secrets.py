"""A key is hidden in every form in which a server may quote it."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cohere_rerank._secrets import MASK, _base64_cores, _spans, hide

KEY = 'aB3/x+"Z&\\k<9_-=q'
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)


def unicode_escapes(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


FORMS = {
    "plain": lambda key: key,
    "json": lambda key: json.dumps(key)[1:-1],
    "json slash": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "json all": unicode_escapes,
    "json all upper": lambda key: "".join(f"\\u{ord(letter):04X}" for letter in key),
    "json some": lambda key: json.dumps(key[0])[1:-1] + unicode_escapes(key[1:3]) + json.dumps(key[3:])[1:-1],
    "json in json": lambda key: json.dumps(json.dumps(key)[1:-1])[1:-1],
    "url": lambda key: quote(key, safe=""),
    "url lower": lambda key: "".join(f"%{ord(letter):02x}" for letter in key),
    "url twice": lambda key: quote(quote(key, safe=""), safe=""),
    "html": html.escape,
    "html twice": lambda key: html.escape(html.escape(key)),
    "html numbers": lambda key: "".join(f"&#{ord(letter)};" for letter in key),
    "html hex": lambda key: "".join(f"&#x{ord(letter):04X};" for letter in key),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 unpadded": lambda key: base64.b64encode(key.encode()).decode().rstrip("="),
    "base64 url-safe": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "base64 url-safe unpadded": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "base64 in json": lambda key: base64.b64encode(key.encode()).decode().replace("/", "\\/"),
    "basic, as the password": lambda key: "Basic " + base64.b64encode(b"user:" + key.encode()).decode(),
    "basic, as the user": lambda key: "Basic " + base64.b64encode(key.encode() + b":").decode(),
    "basic, no user": lambda key: "Basic " + base64.b64encode(b":" + key.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@given(key=KEYS)
def test_a_key_is_hidden_in_every_form(form, key):
    """In text and in bytes, with what surrounds it kept."""
    quoted = FORMS[form](key)
    scheme = "Basic " if quoted.startswith("Basic ") else ""
    text = f"(invalid: {quoted} !)"
    assert hide(text, key) == f"(invalid: {scheme}{MASK} !)"
    assert hide(text.encode(), key) == hide(text, key).encode()


@pytest.mark.parametrize("form", FORMS)
def test_every_occurrence_is_hidden(form):
    """Not the first one only."""
    quoted = FORMS[form](KEY)
    assert hide(f"{quoted} {quoted}", KEY).count(MASK) == 2


def test_a_run_of_base64_is_read_once():
    """Not once for each key in it, which would take quadratic time."""
    needles = (KEY, *_base64_cores(KEY))
    text = f"({needles[1] * 1000}) {needles[1]}"
    end = text.index(")")
    spans = list(_spans(text, needles, 0))
    assert set(spans) == {(1, end), (end + 2, len(text))}
    assert len(spans) <= 2 * len(needles)
    assert hide(text, KEY) == f"({MASK}) {MASK}"


def test_names_and_values_of_json_are_searched():
    """All the way down; other values are kept."""
    value = {f"a {KEY}": [1, None, True, {"b": f"{KEY}!"}], "c": 0.5}
    assert hide(value, KEY) == {f"a {MASK}": [1, None, True, {"b": f"{MASK}!"}], "c": 0.5}
    assert KEY in next(iter(value))  # the value itself is unchanged


def test_a_json_value_of_any_depth_is_safe():
    """What is too deep to be searched is masked."""
    value: object = KEY
    for _ in range(500):
        value = [value]
    assert KEY not in repr(hide(value, KEY))


@pytest.mark.parametrize("key", [None, "", "secret", "k" * 7])
def test_short_keys_are_placeholders(key):
    """They may be a word of the text, so nothing is replaced."""
    assert hide("your secret key kkkkkkk", key) == "your secret key kkkkkkk"


@given(st.text(), KEYS)
def test_texts_without_the_key_are_unchanged(text, key):
    """Nothing else is replaced."""
    assume(key not in text)
    assert hide(text, key) == text


def test_the_mask_can_be_chosen():
    """Such as the one of recorded traffic."""
    assert hide(f"key {KEY}", KEY, "[redacted]") == "key [redacted]"


@pytest.mark.parametrize("piece", ["aB3/x+", "\\" * 64, "%25", "&amp;", "QUJ", "\\u0061"])
def test_the_work_is_bounded(piece):
    """A long text that looks like the start of the key, again and again, comes back unchanged."""
    text = piece * (200_000 // len(piece))
    assert hide(text, KEY) == text
