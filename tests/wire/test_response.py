"""The bytes of a response become a ranking or a typed error, and the parts of a long list become one response."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import traceback

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank._settings import Config
from cohere_rerank._wire.request import encode
from cohere_rerank._wire.response import build_response, decode, empty_response, redirect_target, tag_with_part

CONFIG = Config(api_key="key", base_url=None, strict=False)  # most replies here have one result
SECRET = "5ecret document"
NOW = 1_700_000_000.0


def call_of(n=3, **arguments):
    return encode(CONFIG, {"model": "m", "query": "q", "documents": [f"text {i}" for i in range(n)], **arguments})


def read(content, n=3, status=200, headers=None, **arguments):
    """What a reply to a request with n documents is decoded to."""
    (part,) = call_of(n, **arguments).parts()
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return decode(part, status, headers or {}, content, NOW)


def ranking(*scores):
    """A reply with these (index, score) pairs, which echoes documents as some servers do."""
    return {
        "id": "reply-id",
        "results": [{"index": i, "relevance_score": s, "document": {"text": SECRET}} for i, s in scores],
    }


def pairs(response):
    return [(item.index, item.relevance_score) for item in response.results]


# Good replies ------------------------------------------------------------------------------------


def test_a_whole_reply_of_the_api():
    """Every documented field is read; numbers of units are floats."""
    reply = {
        "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf",
        "results": [
            {"index": 2, "relevance_score": 0.9, "relevant_spans": [{"start": 0, "end": 4, "score": 0.7}]},
            {"index": 0, "relevance_score": 0.1},
        ],
        "meta": {
            "api_version": {"version": "2", "is_experimental": False},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 7, "output_tokens": 0},
            "cached_tokens": 3,
            "warnings": ["a"],
        },
    }
    response = read(reply)
    assert response.id == reply["id"]
    assert pairs(response) == [(2, 0.9), (0, 0.1)]
    span = response.results[0].relevant_spans[0]
    assert (span.start, span.end, span.score) == (0, 4, 0.7)
    assert response.meta.api_version.version == "2"
    assert response.meta.billed_units.search_units == 1.0
    assert (response.meta.tokens.input_tokens, response.meta.cached_tokens, response.meta.warnings) == (7.0, 3.0, ["a"])


@pytest.mark.parametrize(
    "content",
    [
        {"results": [{"index": 0, "relevance_score": 1}]},
        b' \r\n\t{"results": [{"index": 0, "relevance_score": 1}]} \n',
        {"results": [{"index": 0, "relevance_score": 1.0}], "id": None, "meta": None},
        {"results": [{"index": 0, "relevance_score": 1, "document": None}], "meta": {"billed_units": None}},
        {"results": [{"index": 0, "relevance_score": 1, "document": "plain string"}], "usage": {"total_tokens": 3}},
        {"results": [{"index": 0, "relevance_score": 1}], "object": "list", "model": "m", "created": 5},
        {"results": [{"index": 0, "relevance_score": 1}], "meta": {"api_version": "2", "warnings": "text"}},
        {"results": [{"index": 0, "relevance_score": 1}], "id": 5},
    ],
)
def test_only_results_are_required(content):
    """Other servers add, leave out or misshape the rest; the ranking is what counts."""
    assert pairs(read(content)) == [(0, 1.0)]


def test_unknown_fields_are_kept():
    """On the reply and on its items."""
    response = read({"results": [{"index": 0, "relevance_score": 1, "later": 5}], "usage": {"total_tokens": 3}})
    assert response.usage == {"total_tokens": 3}
    assert response.model_dump()["usage"] == {"total_tokens": 3}
    assert response.results[0].later == 5


def test_scores_outside_zero_to_one_are_scores():
    """llama.cpp and NIM send raw logits."""
    assert pairs(read(ranking((1, 7.5), (0, -3.25)))) == [(1, 7.5), (0, -3.25)]


def test_no_results_are_an_answer():
    """A server may find nothing worth ranking."""
    assert read({"results": []}).results == []


@pytest.mark.parametrize("status", [200, 201, 203])
def test_any_success_is_read(status):
    """A proxy may change 200 to another 2xx."""
    assert pairs(read(ranking((0, 1.0)), status=status)) == [(0, 1.0)]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0]) | st.floats(-5, 5)), max_size=8).flatmap(
        lambda scores: st.permutations([(i, s) for i, (s,) in enumerate(scores)])
    )
)
def test_results_are_sorted_best_first_and_ties_by_index(scores):
    """In whatever order they came: older llama.cpp sends them unsorted."""
    result = pairs(read(ranking(*scores), n=8))
    assert sorted(result) == sorted(scores)
    for (i, a), (j, b) in itertools.pairwise(result):
        assert a > b or (a == b and i < j)


# Broken contracts --------------------------------------------------------------------------------

DEEP = b"[" * 100_000 + b"]" * 100_000
BROKEN = {
    "nothing": b"",
    "white space": b" \n",
    "text": b"upstream connect error",
    "truncated": b'{"results": [{"index": 0, "relevance_score": 0.5}',
    "two documents": b'{"results": []}{"results": []}',
    "not UTF-8": b'{"results": [], "id": "\xff\xfe"}',
    "deep": DEEP,
    "deep inside": b'{"results": [], "x": ' + DEEP + b"}",
    "null": None,
    "a list": [{"index": 0, "relevance_score": 0.5}],
    "a number": 5,
    "a string": SECRET,
    "no results": {"id": "x", "meta": {}},
    "data for results": {"data": [{"index": 0, "relevance_score": 0.5}]},
    "results null": {"results": None},
    "results a mapping": {"results": {"0": {"index": 0, "relevance_score": 0.5}}},
    "results text": {"results": SECRET},
    "an item null": {"results": [None]},
    "an item text": {"results": [SECRET]},
    "an item a list": {"results": [[0, 0.5]]},
    "no index": {"results": [{"relevance_score": 0.5}]},
    "no score": {"results": [{"index": 0}]},
    "index text": {"results": [{"index": "first", "relevance_score": 0.5}]},
    "index negative text": {"results": [{"index": "-1", "relevance_score": 0.5}]},
    "index long text": {"results": [{"index": "9" * 5000, "relevance_score": 0.5}]},
    "index large float": {"results": [{"index": 1e300, "relevance_score": 0.5}]},
    "index null": {"results": [{"index": None, "relevance_score": 0.5}]},
    "index a float": {"results": [{"index": 0.5, "relevance_score": 0.5}]},
    "index a bool": {"results": [{"index": True, "relevance_score": 0.5}]},
    "index negative": ranking((-1, 0.5)),
    "index too large": ranking((3, 0.5)),
    "index far too large": ranking((10**30, 0.5)),
    "index twice": ranking((1, 0.5), (1, 0.4)),
    "index twice, same score": ranking((1, 0.5), (0, 0.5), (1, 0.5)),
    "score text": {"results": [{"index": 0, "relevance_score": "0.5"}]},
    "score null": {"results": [{"index": 0, "relevance_score": None}]},
    "score a bool": {"results": [{"index": 0, "relevance_score": True}]},
    "score NaN": b'{"results": [{"index": 0, "relevance_score": NaN}]}',
    "score infinite": b'{"results": [{"index": 0, "relevance_score": Infinity}]}',
    "score overflows": b'{"results": [{"index": 0, "relevance_score": 1e999}]}',
    "a span without an end": {
        "results": [{"index": 0, "relevance_score": 0.5, "relevant_spans": [{"start": 0, "score": 1}]}]
    },
    "a span of text": {"results": [{"index": 0, "relevance_score": 0.5, "relevant_spans": [SECRET]}]},
    "a field Python keeps": {"results": [], "__class__": SECRET},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_reply_that_breaks_the_contract_is_a_typed_error(name):
    """It is never a response and never a raw exception. The message has no text of the reply."""
    with pytest.raises(errors.InvalidResponseError) as caught:
        read(BROKEN[name], headers={"x-request-id": "req-1"})
    error = caught.value
    assert type(error) is errors.InvalidResponseError
    assert error.status_code == 200
    assert error.headers == {"x-request-id": "req-1"}
    assert error.request_id is not None
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert "5ecret" not in shown
    assert "\n" not in str(error)
    assert 20 < len(str(error)) < 300
    assert "5ecret" not in repr(pickle.dumps(error))


def test_results_beyond_top_n_are_cut():
    """Some servers ignore top_n and send all results, in any order."""
    full = ranking((1, 0.5), (2, 0.1), (0, 0.9))
    assert len(read(full, top_n=3).results) == 3
    assert len(read(full, top_n=5).results) == 3
    assert [item.index for item in read(full, top_n=2).results] == [0, 1]


def test_an_html_page_is_called_one():
    """A captive portal or a wrong address, not a broken server."""
    with pytest.raises(errors.InvalidResponseError, match=r"HTML.*base_url"):
        read(b"\n <!DOCTYPE html><title>5ecret</title>")


def test_a_broken_reply_keeps_its_id():
    """It comes from the body, as Cohere sends it, or from the headers."""
    for content, expected in [
        (ranking((9, 0.5)), "reply-id"),
        ({"id": "x"}, "x"),
        (b"{", "from-header"),
        (DEEP, "from-header"),
    ]:
        with pytest.raises(errors.InvalidResponseError) as caught:
            read(content, headers={"x-request-id": "from-header"})
        assert caught.value.request_id == expected


def test_errors_say_where_and_how_many():
    """The place of the first fault, and that there are more."""
    bad = {"results": [{"index": 0, "relevance_score": 0.5}, {"index": "x"}]}
    with pytest.raises(errors.InvalidResponseError, match=r"results\.1\.index: .*and 1 more"):
        read(bad)


@given(st.binary(max_size=60) | st.text().map(str.encode), st.integers(100, 599))
def test_any_bytes_are_an_answer_or_one_of_our_errors(content, status):
    """Whatever the status."""
    with pytest.raises(errors.CohereRerankError):
        read(content, status=status)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats() | st.sampled_from(["index", SECRET]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["index", "relevance_score", "relevant_spans", "id", "meta", "x"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(JSON, JSON)
def test_any_json_is_a_valid_ranking_or_one_of_our_errors(results, meta):
    """What comes back keeps the contract, and no error shows what the reply held."""
    try:
        response = read({"results": results, "meta": meta})
    except errors.InvalidResponseError as error:
        assert "5ecret" not in str(error)  # noqa: PT017 - both outcomes are right
        return
    indices = [item.index for item in response.results]
    assert len(set(indices)) == len(indices) == len(results)
    assert all(0 <= index < 3 for index in indices)
    scores = [item.relevance_score for item in response.results]
    assert all(math.isfinite(score) for score in scores)
    assert scores == sorted(scores, reverse=True)


# Errors and redirects ----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"text", b"<html>", b'{"message": "m"}', b"[]", b"5", b"\xff", DEEP])
@pytest.mark.parametrize(
    "status", [400, 401, 402, 404, 408, 409, 413, 418, 422, 429, 498, 499, 500, 501, 502, 503, 599]
)
def test_the_status_decides_whatever_the_body(status, content):
    """HTML from a proxy, an empty body or broken JSON: the class is the status's."""
    with pytest.raises(errors.ApiError) as caught:
        read(content, status=status)
    assert caught.value.status_code == status
    assert type(caught.value) is type(errors.error_from_response(status, {}, None))


def test_a_good_ranking_with_an_error_status_is_an_error():
    """The status outranks the body."""
    with pytest.raises(errors.InternalServerError):
        read(ranking((0, 1.0)), status=500)


def test_an_error_knows_when_to_come_back():
    """From the headers, a date on the clock that is passed in."""
    date = {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}  # 30 s after NOW
    with pytest.raises(errors.TooManyRequestsError) as caught:
        read(b"", status=429, headers=date)
    assert caught.value.retry_after == 30
    with pytest.raises(errors.ServiceUnavailableError) as caught:
        read(b"", status=503)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_a_redirect_that_arrives_here_is_an_error_that_names_its_target(status):
    """It is an ApiError with the status, says where it points and why that is not followed."""
    with pytest.raises(errors.RedirectError, match=r"https://elsewhere\.example.*base_url") as caught:
        read(b"<html>", status=status, headers={"location": "https://elsewhere.example/x"})
    assert (caught.value.status_code, caught.value.location) == (status, "https://elsewhere.example/x")
    assert isinstance(caught.value, errors.ApiError)


def test_a_redirect_to_nowhere_or_to_a_novel():
    """No Location, or one that no line of a log should hold."""
    with pytest.raises(errors.RedirectError, match="nowhere") as caught:
        read(b"", status=302)
    assert caught.value.location is None
    with pytest.raises(errors.RedirectError) as caught:
        read(b"", status=302, headers={"location": "https://x.example/\n" + "y" * 10_000})
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


HERE = "https://api.example/v2/rerank"


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/other", "https://api.example/other"),
        ("other?x=1", "https://api.example/v2/other?x=1"),
        ("?x=1", "https://api.example/v2/rerank?x=1"),
        ("https://api.example/v3", "https://api.example/v3"),
        ("https://API.example:443/v3", "https://API.example:443/v3"),
        ("//api.example/v3", "https://api.example/v3"),
        ("http://api.example/v3", None),
        ("https://api.example:444/v3", None),
        ("https://elsewhere.example/v3", None),
        ("//elsewhere.example/v3", None),
        ("https://api.example.evil.example/", None),
        ("https://api.example@evil.example/", None),
        ("https://user@api.example/", None),
        ("https://user:pass@api.example/", None),
        ("https://@api.example/", None),
        ("https://api.example:port/", None),
        ("https://api.example:99999/", None),
        ("https://[::1/", None),
        ("https://[/", None),
        ("ftp://api.example/", None),
        ("javascript:alert(1)", None),
        ("file:///etc/passwd", None),
        ("", None),
        (None, None),
    ],
)
def test_what_redirects_are_followed(status, location, target):
    """Only within the origin: scheme, host and port; the key goes nowhere else."""
    assert redirect_target(HERE, status, location) == target


@pytest.mark.parametrize("status", [200, 300, 301, 302, 303, 304, 305, 306, 309, 400])
def test_only_307_and_308_keep_method_and_body(status):
    """Other redirects may turn the POST into a GET."""
    assert redirect_target(HERE, status, "/other") is None


@given(
    st.text(max_size=30),
    st.sampled_from(["", "/", "//", "https://", "https://api.example", "https:\\\\", "\thttps://"]),
)
def test_a_followed_redirect_stays_at_its_origin(text, start):
    """httpx agrees, because it connects. No location raises."""
    target = redirect_target(HERE, 307, start + text)
    if target is None:
        return
    try:
        url = httpx.URL(target)
    except httpx.InvalidURL:
        return  # nothing is sent to it either
    assert (url.scheme, url.host, url.port, url.userinfo) == ("https", "api.example", None, b"")


# One answer from parts ---------------------------------------------------------------------------


def whole_and_split(scores, size, **arguments):
    """The same model's reply to one request, and to several."""

    def replies(call):
        for part in call.parts():
            sent = json.loads(part.content)
            best = sorted(range(part.n_documents), key=lambda i: -scores[part.start + i])
            kept = best[: sent.get("top_n", len(best))]
            yield part, ranking(*((i, scores[part.start + i]) for i in kept))

    answers = []
    for limit in (10_000, size):
        call = call_of(len(scores), max_documents_per_request=limit, **arguments)
        parts, contents = zip(*replies(call))
        responses = [decode(p, 200, {}, json.dumps(c).encode(), NOW) for p, c in zip(parts, contents)]
        answers.append(build_response(call, parts, responses))
    return answers


@given(
    scores=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(-1, 1), min_size=1, max_size=30),
    size=st.integers(1, 10),
    top_n=st.none() | st.integers(1, 40),
    min_score=st.none() | st.floats(-1, 1),
)
def test_split_equals_whole(scores, size, top_n, min_score):
    """The model scores each document by itself, so the parts together say what one request would."""
    whole, split = whole_and_split(scores, size, top_n=top_n, min_score=min_score)
    assert split == whole
    assert split.scores == whole.scores
    assert [item.document for item in split.results] == [f"text {item.index}" for item in split.results]
    assert len(split.results) <= min(top_n or len(scores), len(scores))
    assert all(min_score is None or item.relevance_score >= min_score for item in split.results)


@settings(max_examples=40)
@given(scores=st.lists(st.floats(-1, 1), min_size=1, max_size=20), size=st.integers(1, 7), top_n=st.integers(1, 20))
def test_top_n_is_a_prefix_of_the_whole_ranking(scores, size, top_n):
    """Also after a merge."""
    full = whole_and_split(scores, size)[1]
    assert pairs(whole_and_split(scores, size, top_n=top_n)[1]) == pairs(full)[:top_n]


def merged(*replies):
    """Merge these replies, each to one document."""
    call = call_of(len(replies), max_documents_per_request=1)
    parts = call.parts()
    return build_response(
        call, parts, [decode(p, 200, {}, json.dumps(r).encode(), NOW) for p, r in zip(parts, replies)]
    )


def one(score=0.5, **rest):
    return {"results": [{"index": 0, "relevance_score": score}], **rest}


def test_units_are_summed_and_warnings_joined():
    """Each warning once; what is not a count comes from the first part that has it."""
    first = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1, "later_units": 2, "note": "x"},
        "tokens": {"input_tokens": 5},
        "cached_tokens": 1,
        "warnings": ["a", "b"],
    }
    second = {
        "billed_units": {"search_units": 2.5, "pages": 1, "later_units": 3, "newer_units": 1},
        "tokens": {"input_tokens": 6, "output_tokens": 1},
        "cached_tokens": 2,
        "warnings": ["b", "c"],
    }
    response = merged(one(id="first", meta=first), one(id="second", meta=second))
    assert response.id == "first"
    meta = response.meta
    assert meta.api_version.version == "2"
    units = meta.billed_units
    assert (units.search_units, units.pages, units.images) == (3.5, 1.0, None)
    assert (units.later_units, units.newer_units, units.note) == (5, 1, "x")
    assert (meta.tokens.input_tokens, meta.tokens.output_tokens, meta.cached_tokens) == (11.0, 1.0, 3.0)
    assert meta.warnings == ["a", "b", "c"]


def test_parts_without_units_count_as_none():
    """Not as zero, when no part has any."""
    assert merged(one(), one()).meta is None
    assert merged(one(meta={}), one()).meta.billed_units is None
    assert merged(one(), one(meta={"billed_units": {"search_units": 1}})).meta.billed_units.search_units == 1.0
    assert merged(one(meta={"warnings": []}), one(meta={})).meta.warnings is None


def test_a_merge_keeps_unknown_fields():
    """Of each item, and of the first part's reply; indices count from the first document of all."""
    first = one(0.1, usage={"total_tokens": 3})
    second = one(0.9)
    second["results"][0].update(later=5, relevant_spans=[{"start": 0, "end": 4, "score": 0.5}])
    response = merged(first, second)
    assert pairs(response) == [(1, 0.9), (0, 0.1)]
    assert response.usage == {"total_tokens": 3}
    assert response.results[0].later == 5
    assert response.results[0].span_texts == ["text"]


def test_ties_between_parts_go_by_index():
    """As they would in one reply."""
    assert [item.index for item in merged(one(0.5), one(0.9), one(0.5), one(0.9)).results] == [1, 3, 0, 2]


def test_no_documents_give_an_empty_answer():
    """With the shape of any other."""
    response = empty_response(call_of(0))
    assert (response.results, response.scores, response.meta, response.is_fallback) == ([], [], None, False)


def test_an_error_names_its_share_of_a_split_list_only():
    """Which documents failed is worth knowing when there are others."""
    error = errors.InternalServerError(None)
    tag_with_part(error, call_of(3).parts()[0])
    assert error.part is None
    tag_with_part(error, call_of(6, max_documents_per_request=3).parts()[1])
    assert error.part == "documents 3 to 5"
    assert "documents 3 to 5" in str(error)


# Too few results ---------------------------------------------------------------------------------

STRICT = Config(api_key="key", base_url=None)


def read_strictly(content, n=3, **arguments):
    documents = [f"text {i}" for i in range(n)]
    (part,) = encode(STRICT, {"model": "m", "query": "q", "documents": documents, **arguments}).parts()
    return decode(part, 200, {}, json.dumps(content).encode(), NOW)


@pytest.mark.parametrize(("results", "top_n", "n_expected"), [([], None, 3), ([(1, 0.5)], None, 3), ([(1, 0.5)], 2, 2)])
def test_too_few_results_break_the_contract(results, top_n, n_expected):
    """Without top_n, n documents need n results. The message says how to accept fewer."""
    message = f"{len(results)} results came where {n_expected} belong; strict=False"
    with pytest.raises(errors.InvalidResponseError, match=message):
        read_strictly(ranking(*results), top_n=top_n)
    partial = read(ranking(*results), top_n=top_n)
    assert partial.is_partial
    assert [item.index for item in partial.results] == [index for index, _ in results]


def test_enough_results_are_not_partial():
    """Also fewer than the documents, if top_n asks for fewer, and none for no documents."""
    assert not read_strictly(ranking((0, 0.9), (1, 0.5), (2, 0.1))).is_partial
    assert not read_strictly(ranking((1, 0.5)), top_n=1).is_partial
    assert not read_strictly(ranking((0, 0.9), (1, 0.5), (2, 0.1)), top_n=5).is_partial


def test_a_partial_part_makes_the_merged_response_partial():
    """A caller sees it whichever part lacks results."""
    call = call_of(2, max_documents_per_request=1)
    replies = [ranking((0, 0.5)), ranking()]
    responses = [decode(p, 200, {}, json.dumps(r).encode(), NOW) for p, r in zip(call.parts(), replies)]
    assert build_response(call, call.parts(), responses).is_partial
    assert build_response(call, call.parts(), responses[::-1]).is_partial
