"""A body is the same bytes with orjson and without it."""

from __future__ import annotations

import enum
import math
import random
import subprocess
import sys
import warnings

import pytest

from cohere_rerank._wire import json_body
from cohere_rerank._wire.json_body import dump_body, dump_json


class Text(str):
    __slots__ = ()


class Word(str, enum.Enum):
    TEA = "tea"


PIECES = ["", "a", "é", "東京", "😀", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "\ufffe"]
PIECES += ['"', "\\", "/", "\b\f\n\r\t", "<&>"]
INTEGERS = [0, 1, 999, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40, -(2**63), -(2**63) - 1]
OTHERS = [None, True, 1.5, -0.0, 1e16, 1e-7, math.nan, math.inf, {"a": [1, None]}, ("x",), [math.nan], 10**30]


def random_text(source: random.Random) -> str:
    pieces = source.choices(PIECES, k=source.randrange(6))
    if source.random() < 0.05:
        pieces.append(chr(source.randrange(0xD800, 0xE000)))  # a lone surrogate
    text = "".join(pieces)
    return Text(text) if source.random() < 0.05 else text


def random_body(source: random.Random) -> dict:
    body: dict[str, object] = {
        "model": random_text(source) if source.random() < 0.9 else Word.TEA,
        "query": random_text(source),
        "documents": [random_text(source) for _ in range(source.randrange(5))],
    }
    for name in ("top_n", "max_tokens_per_doc", "priority"):
        if source.random() < 0.3:
            body[name] = source.choice(INTEGERS)
    if source.random() < 0.1:
        body["new"] = source.choice(OTHERS)
    return body


def outcome(function, body):
    """The bytes or the error, and what was warned about."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            made = function(body)
        except Exception as error:
            made = (type(error), str(error))
    return made, [str(one.message) for one in warned]


def test_both_encoders_write_the_same(monkeypatch):
    """20,000 bodies, with control characters, lone surrogates, big integers, NaN and subclasses of str."""
    orjson = pytest.importorskip("orjson")
    n_calls = 0

    def counting(body):
        nonlocal n_calls
        n_calls += 1
        return orjson.dumps(body)

    monkeypatch.setattr(json_body, "_MANY_DOCUMENTS", 0)
    monkeypatch.setattr(json_body, "_orjson_dumps", lambda: counting)
    source = random.Random(11)
    for _ in range(20_000):
        body = random_body(source)
        assert outcome(dump_body, body) == outcome(dump_json, body)
    assert n_calls > 15_000


def test_short_lists_are_encoded_with_the_extra_once_there_were_many():
    """A process that makes few short calls does not import it."""
    pytest.importorskip("orjson")
    code = """
import sys
from cohere_rerank._wire import json_body
body = {"model": "m", "query": "q", "documents": ["é"] * 10}
before = {json_body.dump_body(body) for _ in range(250)}
assert "orjson" not in sys.modules
assert before == {json_body.dump_body(body)}
assert "orjson" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("absent", [False, True], ids=["orjson", "without orjson"])
def test_long_lists_are_encoded_with_and_without_the_extra(absent):
    """A missing package is noticed once, and changes nothing."""
    code = f"""
import sys
if {absent}:
    sys.modules["orjson"] = None
from cohere_rerank._wire import json_body
body = {{"model": "m", "query": "q", "documents": ["é"] * 100}}
assert json_body.dump_body(body) == json_body.dump_body(body) == json_body.dump_json(body)
print(json_body._orjson_dumps() is None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert absent is (done.stdout.strip() == "True")
