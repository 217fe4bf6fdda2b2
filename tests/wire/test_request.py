"""Arguments become the bytes of a request: what is sent, what is rejected, and how long lists are split."""

from __future__ import annotations

import copy
import decimal
import enum
import itertools
import json
import warnings

import httpx
import numpy as np
import pytest
from cohere import RerankRelevantSpans as OfficialSpans
from cohere.core.query_encoder import encode_query
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank._settings import Config
from cohere_rerank._wire import request
from cohere_rerank._wire.request import REQUEST_OPTIONS, encode
from cohere_rerank.types import RequestOptions, RerankArguments, RerankRelevantSpans

CONFIG = Config(api_key="key", base_url=None)
MINIMAL = {"model": "rerank-v3.5", "query": "birds", "documents": ["about penguins", "about trains"]}
OFFICIAL_OPTIONS = {
    "timeout",
    "timeout_in_seconds",
    "max_retries",
    "retry_remote_protocol_errors",
    "additional_headers",
    "additional_query_parameters",
    "additional_body_parameters",
    "chunk_size",
    "stream_reconnection_enabled",
    "max_stream_reconnection_attempts",
}


class Mode(enum.Enum):
    ON = "enabled"


def encoded(config=CONFIG, **arguments):
    return encode(config, {**MINIMAL, **arguments})


def body(config=CONFIG, **arguments):
    """What goes out, read back."""
    (part,) = encoded(config, **arguments).parts()
    return json.loads(part.content)


def with_options(**options):
    return encoded(request_options=options)


# What goes out -----------------------------------------------------------------------------------


def test_only_what_was_given_goes_out():
    """No null, no default of ours: the server's defaults are its own."""
    assert body() == MINIMAL
    nothing = dict.fromkeys(["top_n", "max_tokens_per_doc", "relevant_spans", "priority", "request_options"])
    assert body(**nothing, rank_fields=None, min_score=None, max_documents_per_request=None, deadline=None) == MINIMAL


def test_everything_goes_out_under_its_name():
    """The body contains nothing else."""
    wire = {"top_n": 1, "max_tokens_per_doc": 4096, "priority": 999, "relevant_spans": {"mode": "enabled"}}
    ours = {"min_score": 0.5, "max_documents_per_request": 5, "deadline": 1.0, "rank_fields": ["text"]}
    assert body(**wire, **ours) == {**MINIMAL, **wire}


def test_the_body_is_plain_utf_8():
    """Nothing is escaped that JSON has a form for: a request in Japanese is a third of the size."""
    (part,) = encoded(query="東京 😀 \u2028", documents=["é"]).parts()
    assert "東京 😀 \u2028".encode() in part.content
    assert json.loads(part.content)["documents"] == ["é"]


def test_numpy_integers_are_numbers_on_the_wire():
    """Results of argmax and len-like calls are often of numpy's types."""
    sent = body(
        top_n=np.int64(1),
        max_tokens_per_doc=np.uint16(9),
        priority=np.int8(3),
        relevant_spans={"mode": "enabled", "threshold": np.float32(0.5), "max_spans": np.int32(2)},
    )
    assert (sent["top_n"], sent["max_tokens_per_doc"], sent["priority"]) == (1, 9, 3)
    assert sent["relevant_spans"] == {"mode": "enabled", "threshold": 0.5, "max_spans": 2}


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ({"mode": "enabled"}, {"mode": "enabled"}),
        ({"mode": "disabled", "threshold": None, "max_spans": None}, {"mode": "disabled"}),
        ({"mode": Mode.ON, "threshold": 0}, {"mode": "enabled", "threshold": 0}),
        ({"mode": "enabled", "threshold": decimal.Decimal("0.25")}, {"mode": "enabled", "threshold": 0.25}),
        ({"mode": "a-later-mode", "later": [1]}, {"mode": "a-later-mode", "later": [1]}),
        (RerankRelevantSpans(mode="enabled"), {"mode": "enabled"}),
        (
            RerankRelevantSpans(mode="enabled", threshold=0.2, max_spans=3),
            {"mode": "enabled", "threshold": 0.2, "max_spans": 3},
        ),
        (OfficialSpans(mode="enabled", threshold=0.2), {"mode": "enabled", "threshold": 0.2}),
    ],
)
def test_relevant_spans_in_every_form(spans, expected):
    """A mapping, our class or the official one; None inside is left out, a newer API's fields pass."""
    assert body(relevant_spans=spans)["relevant_spans"] == expected


def test_an_iterator_is_read_once():
    """Documents are read once into a list, so a retry sends the same ones."""
    call = encoded(documents=(text for text in MINIMAL["documents"]))
    assert [part.content for part in call.parts()] == [part.content for part in call.parts()]
    assert json.loads(call.parts()[0].content) == MINIMAL


def test_the_arguments_are_never_changed():
    """Neither the lists, nor the documents, nor the options."""
    arguments = {
        "documents": [{"text": "a", "n": [1]}, "b"],
        "relevant_spans": {"mode": "enabled", "threshold": None},
        "request_options": {"additional_body_parameters": {"x": None, "y": [1]}, "additional_headers": {"A": 1}},
        "rank_fields": ["text"],
    }
    before = copy.deepcopy(arguments)
    encoded(**arguments).parts()
    assert arguments == before


def test_repr_shows_no_query_and_no_document():
    """Calls and parts appear in logs and debuggers."""
    call = encoded(documents=["5ecret"] * 5, query="5ecret", max_documents_per_request=2)
    shown = f"{call!r} {call} {call.parts()!r}"
    assert "5ecret" not in shown
    assert "5 documents" in shown


# What is refused ---------------------------------------------------------------------------------

REFUSED = [
    ("model", None),
    ("model", ""),
    ("model", " \n"),
    ("model", 5),
    ("query", None),
    ("query", ""),
    ("query", " \t\n\u3000"),
    ("query", 5),
    ("query", ["birds"]),
    ("query", b"birds"),
    ("documents", "about penguins"),
    ("documents", b"about penguins"),
    ("documents", None),
    ("documents", 5),
    ("documents", {"text": "one mapping"}),
    ("documents", [""]),
    ("documents", ["a", None]),
    ("documents", ["a", 5]),
    ("documents", ["a", {}]),
    ("top_n", 0),
    ("top_n", -1),
    ("top_n", 1.0),
    ("top_n", "1"),
    ("top_n", True),
    ("top_n", int),
    ("top_n", np.array([1, 2])),
    ("top_n", float("nan")),
    ("max_tokens_per_doc", 0),
    ("max_tokens_per_doc", "4096"),
    ("priority", -1),
    ("priority", 1000),
    ("priority", 0.5),
    ("priority", False),
    ("min_score", "0.5"),
    ("min_score", float("nan")),
    ("min_score", True),
    ("min_score", [0.5]),
    ("max_documents_per_request", 0),
    ("max_documents_per_request", 10_001),
    ("max_documents_per_request", 1.5),
    ("deadline", 0),
    ("deadline", -1.0),
    ("deadline", "1"),
    ("deadline", float("nan")),
    ("rank_fields", "text"),
    ("rank_fields", []),
    ("relevant_spans", "enabled"),
    ("relevant_spans", True),
    ("relevant_spans", {}),
    ("relevant_spans", {"mode": None}),
    ("relevant_spans", {"mode": True}),
    ("relevant_spans", {"mode": "enabled", "threshold": "0.1"}),
    ("relevant_spans", {"mode": "enabled", "threshold": float("nan")}),
    ("relevant_spans", {"mode": "enabled", "threshold": float("inf")}),
    ("relevant_spans", {"mode": "enabled", "max_spans": 0}),
    ("relevant_spans", {"mode": "enabled", "max_spans": 1.5}),
    ("request_options", []),
    ("request_options", 5),
    ("request_options", "timeout"),
]


@pytest.mark.parametrize("config", [CONFIG, Config(api_key=None, base_url="local:")], ids=["remote", "local"])
@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_bad_arguments_are_refused_by_name(config, name, value):
    """As a ValueError, in one line that begins with what is wrong, for every address alike."""
    with pytest.raises(ValueError, match=rf"^{name.rstrip('s')}") as caught:
        encoded(config, **{name: value})
    assert type(caught.value) is errors.InvalidRequestError
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("edge", [{"top_n": 1}, {"top_n": 10**9}, {"priority": 0}, {"priority": 999}])
def test_the_ends_of_a_range_belong_to_it(edge):
    """A top_n above the number of documents is fine: the API cuts to what there is."""
    assert body(**edge) == {**MINIMAL, **edge}


def test_min_score_may_be_infinite():
    """Minus infinity is how some programs say "no limit"."""
    assert encoded(min_score=float("-inf")).min_score == float("-inf")
    assert encoded(min_score=np.float32(0.5)).min_score == 0.5


@given(st.integers() | st.floats() | st.text() | st.booleans() | st.none() | st.binary() | st.lists(st.integers()))
def test_any_top_n_is_sent_or_refused(value):
    """As a whole number from 1, or with our error; None is not sent."""
    try:
        sent = body(top_n=value)
    except errors.InvalidRequestError:
        assert type(value) is not int or value < 1 or value >= 2**63
    else:
        assert sent.get("top_n") == value
        assert value is None or type(value) is int


# request_options ---------------------------------------------------------------------------------


def test_every_official_option_is_known():
    """And ours beside them; the typed dict says the same."""
    assert OFFICIAL_OPTIONS | {"deadline"} == REQUEST_OPTIONS == RequestOptions.__optional_keys__
    with_options(**dict.fromkeys(REQUEST_OPTIONS))


def test_an_unknown_option_is_refused_by_name():
    """A misspelt one would else be lost in silence."""
    message = r"no option additional_header, retries; the options are .*max_retries"
    with pytest.raises(errors.InvalidRequestError, match=message):
        with_options(retries=3, additional_header={})


def test_timeouts_of_a_call():
    """``timeout`` outranks its old name; None is not given."""
    assert with_options(timeout=3).timeout_s == 3.0
    assert with_options(timeout_in_seconds=4).timeout_s == 4.0
    assert with_options(timeout=3, timeout_in_seconds=4).timeout_s == 3.0
    assert with_options(timeout=None, timeout_in_seconds=4).timeout_s == 4.0
    assert with_options(timeout=None).timeout_s is None


def test_the_deadline_of_a_call():
    """The argument, then the option, then the client's."""
    config = Config(api_key="k", base_url=None, deadline=30)
    assert encoded(config).deadline_s == 30
    assert encoded(config, request_options={"deadline": 5}).deadline_s == 5
    assert encoded(config, request_options={"deadline": 5}, deadline=2).deadline_s == 2
    assert encoded(config, request_options={"deadline": None}, deadline=None).deadline_s == 30


@pytest.mark.parametrize(
    ("settings", "deadline_s"),
    [
        ({}, 300),
        ({"timeout": 2}, 3 * 2 + 1.2 * (0.5 + 1) + 1),
        ({"timeout": 2, "max_retries": 0}, 2 + 1),
        ({"timeout": 900, "max_retries": 1}, 2 * 900 + 1.2 * 0.5 + 1),
        ({"timeout": 2, "max_retries": 0, "limit": "trial"}, 2 + 60 + 1),  # a retry may wait for the next minute
        ({"timeout": 2, "deadline": 9}, 9),
    ],
)
def test_a_timeout_alone_bounds_the_call(settings, deadline_s):
    """Without a deadline, a call may take as long as all its attempts and the backoffs between them."""
    assert encoded(Config(api_key="key", base_url=None, **settings)).deadline_s == pytest.approx(deadline_s)


def test_the_timeout_and_the_retries_of_a_call_count():
    """They outrank the client's, and a list in many parts gets the time of all of its rounds."""
    config = Config(api_key="key", base_url=None, timeout=50)
    options = {"timeout": 2, "max_retries": 0}
    assert encoded(config, request_options=options).deadline_s == pytest.approx(2 + 1)
    long = {"documents": ["a"] * 17, "max_documents_per_request": 1, "request_options": options}  # 8 at a time
    assert encoded(config, **long).deadline_s == pytest.approx(3 * 2 + 1)
    assert encoded(config, deadline=20).deadline_s == 20


def test_retries_of_a_call():
    """None leaves them to the client; 0 is a number."""
    assert with_options(max_retries=None).max_retries is None
    assert with_options(max_retries=0).max_retries == 0
    assert with_options(max_retries=np.int64(4)).max_retries == 4
    assert with_options(retry_remote_protocol_errors=None).retry_remote_protocol_errors is True
    assert with_options(retry_remote_protocol_errors=False).retry_remote_protocol_errors is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", 0),
        ("timeout", "3"),
        ("timeout", httpx.Timeout(3)),
        ("timeout_in_seconds", -1),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("max_retries", True),
        ("deadline", 0),
        ("additional_headers", 5),
        ("additional_headers", "x: y"),
        ("additional_headers", [("x", "y")]),
        ("additional_headers", {5: "y"}),
        ("additional_query_parameters", 5),
        ("additional_query_parameters", "a=b"),
        ("additional_body_parameters", 5),
        ("additional_body_parameters", [("a", 1)]),
        ("additional_body_parameters", {5: 1}),
    ],
)
def test_bad_options_are_refused_by_name(name, value):
    """Never a raw TypeError."""
    with pytest.raises(errors.InvalidRequestError, match=rf"^{name.removesuffix('_in_seconds')} must be"):
        with_options(**{name: value})


@pytest.mark.parametrize("value", ["5ecret\n", "5ecret\r\nx: y", "5ecreté", " 5ecret", "5ecret\0"])
def test_a_header_that_cannot_be_sent_is_refused_unseen(value):
    """It may be a key: the error names the header, not what it holds."""
    with pytest.raises(errors.InvalidRequestError, match="Authorization") as caught:
        with_options(additional_headers={"Authorization": value})
    assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "two words", "x:y", "x\n", "é", "(x)"])
def test_a_name_that_no_header_has_is_refused(name):
    """HTTP has no place for it."""
    with pytest.raises(errors.InvalidRequestError, match="additional_headers"):
        with_options(additional_headers={name: "value"})


def test_additional_headers_are_texts_without_none():
    """Numbers are written out, and names are in lower case."""
    headers = {"X-A": "b", "x.n": 5, "X-None": None, "Authorization": "Bearer other"}
    assert with_options(additional_headers=headers).headers == {
        "x-a": "b",
        "x.n": "5",
        "authorization": "Bearer other",
    }


@pytest.mark.parametrize(
    "params",
    [
        {"a": "b", "n": 5, "yes": True},
        {"list": ["a", "b"], "none": None},
        {"deep": {"a": 1, "b": {"c": 2, "list": [1, 2]}}},
        {"mixed": [{"a": 1}, 2]},
        {},
    ],
)
def test_query_parameters_are_the_official_ones(params):
    """The same query string for the same parameters: lists repeat a name, mappings put keys in brackets."""
    official = encode_query({name: value for name, value in params.items() if value is not None})
    assert str(httpx.QueryParams(with_options(additional_query_parameters=params).params)) == str(
        httpx.QueryParams(official)
    )


def test_additional_body_parameters_outrank_the_arguments():
    """As in the official client; what they replace is checked all the same."""
    extra = {"return_documents": True, "query": "other", "documents": ["x", {"a": 1}], "top_n": 1}
    call = encoded(top_n=2, request_options={"additional_body_parameters": extra})
    assert json.loads(call.parts()[0].content) == {**MINIMAL, **extra, "documents": ["x", "a: 1\n"]}
    assert (call.top_n, call.texts) == (1, ["x", "a: 1\n"])
    with pytest.raises(errors.InvalidRequestError, match="top_n"):
        with_options(additional_body_parameters={"top_n": 0})


def test_none_in_additional_body_parameters_is_not_given():
    """It neither goes out as null nor takes an argument away."""
    nothing = dict.fromkeys(["model", "query", "documents", "top_n", "other"])
    assert body(top_n=1, request_options={"additional_body_parameters": nothing}) == {**MINIMAL, "top_n": 1}


@pytest.mark.parametrize("value", [object(), np.int64(3), b"\xff", {1: object()}])
def test_what_json_has_no_form_for_is_refused(value):
    """It can only come from additional_body_parameters, and the error says so."""
    with pytest.raises(errors.InvalidRequestError, match="additional_body_parameters"):
        body(request_options={"additional_body_parameters": {"x": value}})


# Lone surrogates ---------------------------------------------------------------------------------


def test_a_lone_surrogate_is_replaced_with_a_warning():
    """It has no UTF-8; the caller's text stays as it was."""
    documents = ["a\ud800b", "plain", {"key": "c"}]
    with pytest.warns(UnicodeWarning, match=r"lone surrogate.*U\+FFFD"):
        sent = body(query="\udfff?", documents=documents)
    assert sent["query"] == "\ufffd?"
    assert sent["documents"] == ["a\ufffdb", "plain", "key: c\n"]
    assert documents[0] == "a\ud800b"


def test_surrogates_in_additional_parameters_are_replaced_too():
    """In keys and at any depth."""
    with pytest.warns(UnicodeWarning):
        sent = body(request_options={"additional_body_parameters": {"k\ud800": [{"x": ("\udc00", 1)}]}})
    assert sent["k\ufffd"] == [{"x": ["\ufffd", 1]}]


def test_no_surrogate_no_warning():
    """Characters above U+FFFF are not surrogates."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert body(query="😀\U0010ffff")["query"] == "😀\U0010ffff"


@given(st.text(st.characters(exclude_categories=[]), min_size=1).filter(str.strip))
def test_positions_survive_the_replacement(text):
    """One character for one: spans count code points of what was sent, and cut what the caller has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnicodeWarning)
        (sent,) = body(documents=[text])["documents"]
    assert len(sent) == len(text)
    assert all(a == b or ("\ud800" <= a <= "\udfff" and b == "\ufffd") for a, b in zip(text, sent))


# Long lists --------------------------------------------------------------------------------------


@given(n_documents=st.integers(1, 300), size=st.integers(1, 50), top_n=st.none() | st.integers(1, 400))
def test_parts_cover_every_document_once(n_documents, size, top_n):
    """The parts are in order, as few as possible, of equal size, and within the limit. top_n does not exceed a part."""
    texts = [f"document {index}" for index in range(n_documents)]
    call = encoded(documents=texts, max_documents_per_request=size, top_n=top_n)
    parts = call.parts()
    sent = [json.loads(part.content) for part in parts]
    assert list(itertools.chain.from_iterable(item["documents"] for item in sent)) == texts
    assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])]
    assert parts[-1].end == n_documents
    sizes = [part.n_documents for part in parts]
    assert len(parts) == -(-n_documents // size)
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    for part, item in zip(parts, sent):
        rest = {name: value for name, value in item.items() if name not in ("documents", "top_n")}
        assert rest == {"model": MINIMAL["model"], "query": MINIMAL["query"]}
        # Enough to merge the right top_n from, since the whole of it may lie in one part.
        wanted = part.n_documents if top_n is None else min(top_n, part.n_documents)
        assert min(item.get("top_n", part.n_documents), part.n_documents) == wanted


def test_ten_thousand_documents_are_one_request():
    """Cohere's hard limit; one more makes two."""
    assert len(encoded(documents=["x"] * 10_000).parts()) == 1
    assert [part.n_documents for part in encoded(documents=["x"] * 10_001).parts()] == [5000, 5001]


def test_the_limit_of_a_call_outranks_the_clients():
    """None leaves it to the client."""
    config = Config(api_key="k", base_url=None, max_documents_per_request=2)
    documents = ["x"] * 6
    assert len(encoded(config, documents=documents).parts()) == 3
    assert len(encoded(config, documents=documents, max_documents_per_request=None).parts()) == 3
    assert len(encoded(config, documents=documents, max_documents_per_request=6).parts()) == 1


def test_a_local_address_gets_the_whole_list():
    """A scorer may look at all documents: neither setting splits them."""
    config = Config(api_key=None, base_url="local:", max_documents_per_request=2)
    assert len(encoded(config, documents=["x"] * 10_001, max_documents_per_request=3).parts()) == 1


def test_no_documents_are_no_mistake():
    """A list that a filter emptied gives an empty ranking. Nothing is sent for it."""
    for nothing in ([], (), iter([])):
        call = encoded(documents=nothing)
        assert (call.documents, call.texts) == ([], [])


def test_a_part_says_which_documents_it_has():
    """Counted as the caller counts them, both ends included."""
    parts = encoded(documents=["x"] * 4, max_documents_per_request=2).parts()
    assert [repr(part) for part in parts] == ["documents 0 to 1", "documents 2 to 3"]


HUGE = 10**5000  # has more digits than Python writes
CYCLE: dict[str, object] = {}
CYCLE["x"] = CYCLE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"priority": HUGE}, "priority must be a whole number, between 0 and 999, got an int of 16610 bits"),
        ({"min_score": HUGE}, "min_score must be a number, got an int of 16610 bits"),
        ({"request_options": {"additional_headers": {"x": HUGE}}}, "additional_headers: an int has more digits"),
        ({"request_options": {"additional_query_parameters": {"x": HUGE}}}, "additional_query_parameters: an int"),
        ({"request_options": {"additional_query_parameters": {"x": "a\ud800"}}}, "'x' contains a lone surrogate"),
        ({"request_options": {"additional_query_parameters": {"\udfff": 1}}}, "contains a lone surrogate"),
        ({"request_options": {"additional_query_parameters": CYCLE}}, "contain themselves"),
    ],
    ids=[*"1234567"],
)
def test_a_value_that_cannot_be_sent_is_a_typed_error(arguments, words):
    """Never a ValueError or a UnicodeEncodeError of Python's own, and never a value that cannot be printed."""
    with pytest.raises(errors.InvalidRequestError) as caught:
        encoded(**arguments)
    assert words in str(caught.value)
    assert str(caught.value).isascii()


def test_the_names_are_those_of_the_public_type():
    """`RerankArguments` and the check of a call name the same arguments."""
    assert RerankArguments.__annotations__.keys() == request._NAMES
    assert RerankArguments.__required_keys__ == request._REQUIRED_NAMES
