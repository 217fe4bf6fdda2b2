"""What the types promise, with the official client's types as the reference for dumps."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from html.parser import HTMLParser

import cohere
import pytest
from cohere.core.unchecked_base_model import construct_type
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cohere_rerank import types
from cohere_rerank._result_base import replace
from cohere_rerank.types import (
    ApiMeta,
    ApiMetaBilledUnits,
    RerankRelevantSpanResponse,
    RerankRelevantSpans,
    V2RerankResponse,
    V2RerankResponseResultsItem,
)
from cohere_rerank.types.parsing import attach, parse_response, set_call_info
from cohere_rerank.types.response import CallInfo

SPAN = {"start": 4, "end": 7, "score": 0.8}
REPLY = {
    "id": "07734bd2",
    "results": [
        {"index": 2, "relevance_score": 0.943, "relevant_spans": [SPAN, {**SPAN, "start": 0}]},
        {"index": 0, "relevance_score": 0.25},
    ],
    "meta": {
        "api_version": {"version": "2", "is_experimental": False},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": 12, "output_tokens": 0},
        "cached_tokens": 3,
        "warnings": ["one", "two"],
    },
}
DOCUMENTS = ["first", {"title": "second"}, {"title": "third"}]
TEXTS = ["first", "title: second", "The cat <b>sat</b>"]


def reply(**changes) -> bytes:
    return json.dumps({**REPLY, **changes}).encode()


def item_reply(**fields) -> bytes:
    return reply(results=[{"index": 0, "relevance_score": 0.5, **fields}])


def official(body: dict) -> cohere.V2RerankResponse:
    """The response that the official client makes from decoded JSON."""
    return construct_type(type_=cohere.V2RerankResponse, object_=body)


def canonical(value: object) -> str:
    """JSON with sorted keys, because the official ``dict()`` moves unknown fields that are null to the end."""
    return json.dumps(value, sort_keys=True)


@pytest.fixture
def response() -> V2RerankResponse:
    return attach(parse_response(reply()), DOCUMENTS, TEXTS)


# Strategies for replies: every known field present, absent or accompanied by unknown ones.

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
unknown = st.dictionaries(st.sampled_from(["new", "document", "scores", "span_texts", "x y", "é"]), values, max_size=2)
numbers = st.integers(0, 10**6) | st.floats(0, 1e6)
scores = st.floats(0, 1)


def objects(required: dict, optional: dict):
    known = st.fixed_dictionaries(required, optional=optional)
    return st.builds(lambda fields, more: {**fields, **more}, known, unknown)


spans = objects({"start": st.integers(0, 99), "end": st.integers(0, 99), "score": scores}, {})
items = objects(
    {"index": st.integers(0, 99), "relevance_score": scores}, {"relevant_spans": st.lists(spans, max_size=2)}
)
billed_units = objects({}, dict.fromkeys([f.name for f in dataclasses.fields(ApiMetaBilledUnits)], numbers))
metas = objects(
    {},
    {
        "api_version": objects({"version": st.text()}, {"is_deprecated": st.booleans()}),
        "billed_units": billed_units,
        "tokens": objects({}, {"input_tokens": numbers}),
        "cached_tokens": numbers,
        "warnings": st.lists(st.text(), max_size=2),
    },
)
replies = objects({"results": st.lists(items, max_size=3)}, {"id": st.text(), "meta": metas})


OUR_OWN = {
    "OtherArguments",
    "AnyClient",
    "ClientOptions",
    "CommonArguments",
    "DocumentCollection",
    "OnEvent",  # a class on Python 3.10
    "RerankArguments",
}  # for type checkers; the official package has none


class TestSameAsOfficial:
    @given(replies)
    def test_dumps(self, body):
        """Every form of dump equals the official client's, including the difference between 1 and 1.0."""
        ours, theirs = parse_response(json.dumps(body)), official(body)
        assert repr(ours.model_dump()) == repr(theirs.model_dump())
        assert canonical(ours.model_dump(mode="json")) == canonical(theirs.model_dump(mode="json"))
        assert canonical(ours.dict()) == canonical(theirs.dict())
        assert canonical(json.loads(ours.json())) == canonical(json.loads(theirs.json()))
        assert ours.model_dump_json() == ours.json()

    @pytest.mark.parametrize("option", ["exclude_none", "exclude_unset", "exclude_defaults", "by_alias", "round_trip"])
    def test_dump_options(self, option):
        """The options of pydantic have their usual meaning, for unknown fields too."""
        body = {**REPLY, "unknown": {"a": None}, "nothing": None}
        ours = parse_response(json.dumps(body)).model_dump(**{option: True})
        assert repr(ours) == repr(official(body).model_dump(**{option: True}))

    def test_json_indent(self, response):
        """Options for JSON reach the encoder."""
        assert response.model_dump_json(indent=2) == official(REPLY).model_dump_json(indent=2)

    @pytest.mark.parametrize("mode", ["python", "json"])
    def test_include_and_exclude(self, mode):
        """Both options reach every level and unknown fields. In JSON the official client ignores them there."""
        response = parse_response(reply(new={"a": 1, "b": 2}))
        assert response.model_dump(mode=mode, include={"id"}) == {"id": "07734bd2"}
        first = {"results": {0: {"index"}}}
        assert response.model_dump(mode=mode, include=first) == {"results": [{"index": 2}]}
        every = {"__all__": {"relevance_score", "relevant_spans"}}
        leave_out = {"id": True, "meta": True, "results": every, "new": {"b"}}
        left = {"results": [{"index": 2}, {"index": 0}], "new": {"a": 1}}
        assert response.model_dump(mode=mode, exclude=leave_out) == left
        assert json.loads(response.model_dump_json(exclude=leave_out)) == left

    @pytest.mark.parametrize(
        "name", [name for name in types.__all__ if isinstance(getattr(types, name), type) and name not in OUR_OWN]
    )
    def test_fields(self, name):
        """Each type has the fields of the official one in the same order. The request options have one more key."""
        ours = list(getattr(types, name).__annotations__)
        if name == "RequestOptions":
            from cohere.core.request_options import RequestOptions

            assert ours == [*RequestOptions.__annotations__, "deadline"]
        else:
            assert ours == list(getattr(cohere, name).model_fields)

    def test_construction_by_keyword(self):
        """The types are constructed with the same keywords as the official ones."""

        def build(module):
            span = module.RerankRelevantSpanResponse(start=0, end=3, score=0.5)
            item = module.V2RerankResponseResultsItem(index=0, relevance_score=1, relevant_spans=[span])
            units = module.ApiMetaBilledUnits(search_units=1)
            meta = module.ApiMeta(billed_units=units, tokens=module.ApiMetaTokens(input_tokens=2), new=3)
            return module.V2RerankResponse(id="a", results=[item], meta=meta, newer=[4])

        assert build(types).model_dump() == build(cohere).model_dump()
        ask = {"mode": "enabled", "threshold": 0.2, "max_spans": 3}
        assert RerankRelevantSpans(**ask).dict() == cohere.RerankRelevantSpans(**ask).dict()


class TestParsing:
    def test_values(self, response):
        """Fields have the declared types. Numbers of units are floats."""
        assert [item.index for item in response.results] == [2, 0]
        assert response.results[0].relevant_spans[1] == RerankRelevantSpanResponse(start=0, end=7, score=0.8)
        assert repr(response.meta.billed_units.search_units) == "1.0"
        assert response.meta.warnings == ["one", "two"]

    def test_smallest_response(self):
        """Only results are required, and they may be empty. A response is never false."""
        response = parse_response(b'{"results": []}')
        assert (response.id, response.results, response.meta) == (None, [], None)
        assert response

    def test_text(self):
        """A str is read like bytes."""
        assert parse_response(reply().decode()) == parse_response(reply())

    @pytest.mark.parametrize("index", ["true", '"3"', "3.5", "3.0", "-1", "null", "[]", "NaN"])
    def test_index_is_an_integer_from_0(self, index):
        with pytest.raises(ValidationError, match=r"results\.0\.index"):
            parse_response(item_reply().replace(b'"index": 0', b'"index": ' + index.encode()))

    @pytest.mark.parametrize(
        "score", ["true", '"0.5"', "NaN", "Infinity", "-Infinity", "1e999", "null", "{}", "1" * 400]
    )
    def test_score_is_a_finite_number(self, score):
        with pytest.raises(ValidationError, match=r"results\.0\.relevance_score"):
            parse_response(item_reply().replace(b": 0.5", b": " + score.encode()))

    def test_integer_score(self):
        """A whole number is a valid score."""
        assert repr(parse_response(item_reply(relevance_score=1)).results[0].relevance_score) == "1.0"

    @pytest.mark.parametrize("results", [None, {}, "[]", 3, [3], [None], [{}], [{"index": 0}]])
    def test_results_is_a_list_of_results(self, results):
        with pytest.raises(ValidationError, match="results"):
            parse_response(reply(results=results))

    @pytest.mark.parametrize("span", [{}, {**SPAN, "start": -1}, {**SPAN, "end": 2.5}, {**SPAN, "score": "1"}, 3])
    def test_spans_are_checked(self, span):
        with pytest.raises(ValidationError, match="relevant_spans"):
            parse_response(item_reply(relevant_spans=[span]))

    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff{}", b'{"results": [}', b"<html>"])
    def test_no_json_object(self, body):
        with pytest.raises(ValidationError):
            parse_response(body)

    @pytest.mark.parametrize("name", ["__class__", "__dict__", "__weakref__"])
    def test_reserved_names(self, name):
        """A field name that Python cannot store is an invalid response, not an AttributeError."""
        with pytest.raises(ValidationError, match="Python"):
            parse_response(item_reply(**{name: 1}))

    @pytest.mark.parametrize(
        "meta", [3, "text", [], {"billed_units": 3}, {"warnings": "text"}, {"tokens": {"input_tokens": "many"}}]
    )
    def test_malformed_meta_keeps_the_ranking(self, meta):
        """A value of the wrong type in meta or as id is read as None. The rest is kept."""
        response = parse_response(reply(meta=meta, id={}))
        assert len(response.results) == 2
        assert response.id is None
        assert response.meta in (None, ApiMeta())

    def test_odd_meta_keeps_its_good_parts(self):
        response = parse_response(reply(meta={**REPLY["meta"], "api_version": "2", "cached_tokens": []}))
        assert response.meta == replace(parse_response(reply()).meta, api_version=None, cached_tokens=None)

    def test_numbers_as_names(self):
        """A number is accepted as id."""
        assert parse_response(reply(id=17)).id == "17"

    def test_hand_made_meta_is_checked(self):
        """Only responses are read leniently. A value that a program passes is checked."""
        with pytest.raises(ValidationError, match="warnings"):
            ApiMeta(warnings=3)
        with pytest.raises(ValidationError, match="mode"):
            RerankRelevantSpans(mode=None)

    def test_model_validate(self, response):
        """A mapping, JSON text and a value of the type are accepted, like by pydantic's models."""
        assert V2RerankResponse.model_validate(response.model_dump()) == response
        assert V2RerankResponse.model_validate_json(response.model_dump_json()) == response
        assert V2RerankResponse.model_validate(response) is response
        with pytest.raises(ValidationError):
            V2RerankResponse.model_validate({"results": 3})

    def test_inside_the_callers_models(self, response):
        """The types can be fields of pydantic models, with a JSON schema."""
        adapter = TypeAdapter(dict[str, V2RerankResponse])
        assert adapter.validate_json(b'{"a": %s}' % reply()) == {"a": response}
        assert "relevance_score" in json.dumps(adapter.json_schema())


class TestUnknownFields:
    def test_kept_at_every_level(self):
        """Unknown fields can be read as attributes, and follow the known ones in dumps."""
        body = json.loads(
            reply(
                new=[1],
                results=[
                    {"index": 0, "relevance_score": 1.0, "new": {"a": None}, "relevant_spans": [{**SPAN, "new": 2}]}
                ],
            )
        )
        body["meta"]["new"] = 3
        body["meta"]["billed_units"] = {"search_units": 1.0, "new": 4}
        body["meta"]["api_version"]["new"] = None
        body["meta"]["tokens"]["new"] = "5"
        response = parse_response(json.dumps(body))
        item = response.results[0]
        assert (response.new, item.new, item.relevant_spans[0].new) == ([1], {"a": None}, 2)
        meta = response.meta
        assert (meta.new, meta.billed_units.new, meta.api_version.new, meta.tokens.new) == (3, 4, None, "5")
        assert response.dict() == json.loads(response.json()) == body

    def test_none_is_left_out_on_demand(self):
        response = parse_response(reply(new=None))
        assert response.dict()["new"] is None
        assert "new" not in response.model_dump(exclude_none=True)

    @pytest.mark.parametrize("name", ["document", "span_texts"])
    def test_named_as_a_property_of_a_result(self, name, response):
        """A server may name a field like a property. The attribute is the property, and the dump has the field."""
        item = parse_response(item_reply(**{name: {"text": "echo"}})).results[0]
        assert item.dict()[name] == {"text": "echo"}
        assert item.span_texts == []

    def test_named_as_a_property_of_the_response(self):
        response = parse_response(reply(scores=[9], is_fallback="maybe"))
        assert (response.scores, response.is_fallback) == ([0.25, None, 0.943], False)
        assert (response.dict()["scores"], response.dict()["is_fallback"]) == ([9], "maybe")

    def test_count_in_equality(self):
        plain, extended = parse_response(reply()), parse_response(reply(new=1))
        assert plain != extended
        assert extended == parse_response(reply(new=1))


class TestValues:
    @pytest.mark.parametrize("name", ["index", "document", "anything"])
    def test_frozen(self, name, response):
        """No attribute can be set. For names that are not fields, Python up to 3.13 raises TypeError."""
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(response.results[0], name, 1)
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            delattr(response.results[0], name)

    def test_slotted(self, response):
        """Declared fields are not entries of a ``__dict__``."""
        assert vars(response) == vars(response.results[0]) == vars(response.meta) == {}

    def test_equality(self, response):
        """Fields decide about equality. The documents of the caller do not."""
        assert response == parse_response(reply())
        assert response != parse_response(reply(id="other"))
        assert response.results[0] != response.results[1]
        assert response.results[0] != response.results[0].dict()

    def test_hash(self, response):
        """Equal values have the same hash, although they contain lists and unknown objects."""
        changed = parse_response(reply(new={"a": []}))
        assert len({response, parse_response(reply()), changed}) == 2
        assert len({*response.results, *parse_response(reply()).results}) == 2

    @pytest.mark.parametrize(
        "copied",
        [copy.copy, copy.deepcopy, replace]
        + [lambda value, p=p: pickle.loads(pickle.dumps(value, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)],
    )
    def test_copies(self, copied):
        """Copies and pickles keep the fields, the unknown fields, the documents and the texts."""
        response = attach(parse_response(reply(new={"a": [1]})), DOCUMENTS, TEXTS, is_fallback=True)
        twin = copied(response)
        assert twin is not response
        assert twin == response
        assert twin.new == {"a": [1]}
        assert twin.is_fallback
        assert twin.scores == response.scores
        assert [item.document for item in twin.results] == [DOCUMENTS[2], DOCUMENTS[0]]
        assert twin.results[0].span_texts == response.results[0].span_texts

    def test_shallow_copy_is_independent(self):
        """A copy and its original do not share the dict of unknown fields."""
        response = parse_response(reply(new=1))
        assert vars(copy.copy(response)) is not vars(response)

    def test_a_pickled_result_takes_only_its_own_document(self, response):
        assert b"second" not in pickle.dumps(response.results[0])

    def test_dataclass_functions(self, response):
        """``dataclasses.replace`` checks its values, and ``asdict`` returns what a dump contains."""
        item = dataclasses.replace(response.results[0], index=5)
        assert (item.index, item.relevance_score) == (5, 0.943)
        with pytest.raises(ValidationError):
            dataclasses.replace(item, index="five")
        assert dataclasses.asdict(response) == response.model_dump()
        assert [f.name for f in dataclasses.fields(response)] == ["id", "results", "meta"]

    def test_replaced(self):
        """Our own ``replace`` keeps the unknown fields and the document."""
        response = attach(parse_response(item_reply(new=1)), ["a"], ["a"])
        item = replace(response.results[0], index=7)
        assert (item.index, item.new, item.document) == (7, 1, "a")
        assert response.results[0].index == 0


class TestDocuments:
    def test_each_result_has_its_document(self, response):
        """The document is the caller's object itself, not a copy."""
        assert response.results[0].document is DOCUMENTS[2]
        assert response.results[1].document is DOCUMENTS[0]

    @pytest.mark.parametrize("document", ["", {}, 0, None])
    def test_false_documents(self, document):
        """An object that is false is a document too. The document in the response does not replace it."""
        body = item_reply(document={"text": "echo"})
        assert attach(parse_response(body), [document], [""]).results[0].document is document

    def test_unknown_documents(self):
        """Without the caller's documents, a document is the one in the response, or None."""
        assert parse_response(item_reply()).results[0].document is None
        echo = parse_response(item_reply(document={"text": "echo"}))
        assert echo.results[0].document == {"text": "echo"}

    def test_span_texts(self, response):
        """The texts of spans are cut from the text that was sent, at code points."""
        assert response.results[0].span_texts == ["cat", "The cat"]
        assert response.results[1].span_texts == []
        spans = [{"start": 1, "end": 3, "score": 1}]
        emoji = attach(parse_response(item_reply(relevant_spans=spans)), ["x"], ["😀é漢"])
        assert emoji.results[0].span_texts == ["é漢"]
        assert parse_response(item_reply(relevant_spans=spans)).results[0].span_texts == []

    def test_stay_out_of_everything_else(self, response):
        """Dumps do not show documents, texts or the fallback."""
        bare = parse_response(reply())
        assert response.model_dump() == bare.model_dump()
        assert response.json() == bare.json()
        assert hash(response) == hash(bare)

    @pytest.mark.parametrize(
        ("sent", "scale"), [({}, None), ({"score_scale": "logit"}, "logit"), ({"score_scale": "furlongs"}, None)]
    )
    def test_score_scale(self, sent, scale):
        """The scale is None if nothing states it, as in Cohere's responses. A dump keeps what was sent."""
        response = parse_response(reply(**sent))
        assert response.score_scale == scale
        assert {name: value for name, value in response.dict().items() if name == "score_scale"} == sent

    def test_is_fallback(self):
        assert not parse_response(reply()).is_fallback
        assert not attach(parse_response(reply()), DOCUMENTS, TEXTS).is_fallback
        assert attach(parse_response(reply()), DOCUMENTS, TEXTS, is_fallback=True).is_fallback


class TestScoresAndFilter:
    def test_scores(self, response):
        """Scores have the order of the documents, and None for the results that were cut off."""
        assert response.scores == [0.25, None, 0.943]
        five = attach(parse_response(reply()), list("abcde"), list("abcde"))
        assert five.scores == [0.25, None, 0.943, None, None]
        assert parse_response(reply(results=[])).scores == []

    def test_filter(self):
        """Results at or above the threshold stay. All other fields are kept."""
        response = attach(parse_response(reply(new=1)), DOCUMENTS, TEXTS, is_fallback=True)
        kept = response.filter(min_score=0.943)
        assert kept.results == response.results[:1]
        assert kept.results[0].document is DOCUMENTS[2]
        assert (kept.id, kept.meta, kept.new, kept.is_fallback) == (response.id, response.meta, 1, True)
        assert kept.scores == [None, None, 0.943]
        assert len(response.results) == 2

    @given(st.lists(scores, max_size=8), scores)
    def test_filter_property(self, given_scores, min_score):
        """Filtering keeps exactly the scores at or above the threshold, in order."""
        results = [{"index": n, "relevance_score": score} for n, score in enumerate(given_scores)]
        kept = parse_response(reply(results=results)).filter(min_score=min_score)
        assert [item.relevance_score for item in kept.results] == [s for s in given_scores if s >= min_score]


class _Tags(HTMLParser):
    """The tags, attributes and texts of a fragment, and whether every tag is closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = set(), set(), [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def many(n: int) -> V2RerankResponse:
    results = [{"index": i, "relevance_score": 1 / (i + 1)} for i in range(n)]
    return parse_response(reply(results=results))


class TestShown:
    def test_repr(self):
        """The repr fits on a line for a list of any length."""
        text = "V2RerankResponse(id='07734bd2', results=[0: 1, 1: 0.5, 2: 0.333, … 997 more], search_units=1.0)"
        assert repr(many(1000)) == text

    def test_repr_of_parts(self, response):
        """The repr shows only the values that are set."""
        bare = parse_response(reply())
        assert repr(bare.results[1]) == "V2RerankResponseResultsItem(index=0, relevance_score=0.25)"
        shown = "V2RerankResponseResultsItem(index=0, relevance_score=0.25, document='first')"
        assert repr(response.results[1]) == shown
        assert repr(V2RerankResponse(results=[])) == "V2RerankResponse(results=[])"
        fallback = attach(V2RerankResponse(results=[]), [], [], is_fallback=True)
        assert repr(fallback) == "V2RerankResponse(results=[], is_fallback=True)"

    def test_repr_of_a_result_shows_the_start_of_its_text(self):
        """In one line of 60 characters, as it was sent."""
        item = attach(parse_response(item_reply()), [{"a": "b"}], ["a: b\n" + "word " * 1000]).results[0]
        assert repr(item).endswith(f", document={('a: b ' + 'word ' * 11)!r}"[:-1] + "…')")

    @pytest.mark.parametrize(
        ("host", "shown"), [("api.cohere.com", False), ("cache", False), ("127.0.0.1", True), ("evil-cohere.com", True)]
    )
    def test_repr_shows_another_engine(self, host, shown):
        """A host that is not Cohere's, and the local scorer whatever the host."""
        response = parse_response(reply())
        set_call_info(response, CallInfo(answered_by=host))
        assert (f"answered_by={host}" in repr(response)) is shown
        local = parse_response(reply(meta={"warnings": ["answered by the local scorer local-lexical 1, not by"]}))
        set_call_info(local, CallInfo(answered_by=host))
        assert local.answered_by == "local-lexical"
        assert "answered_by=local-lexical" in repr(local)

    def test_repr_never_shows_an_echoed_document(self):
        response = parse_response(item_reply(document={"text": "secret"}))
        assert "secret" not in repr(response) + repr(response.results)

    @given(st.text(max_size=200) | st.sampled_from(["<script>alert(1)</script>", "\"'><img onerror=x>", "&lt;b&gt;"]))
    def test_html_escapes_the_text(self, text):
        """A document is text in the table, whatever it contains, and its start is complete."""
        html = attach(parse_response(item_reply()), [text], [text])._repr_html_()
        seen = _Tags(html)
        assert seen.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "span", "div"}
        assert seen.attributes <= {"style", "dir"}
        assert "".join(" ".join(text.split())[:120].split()) in "".join("".join(seen.texts).split())

    def test_html_row(self, response):
        """A row has rank, score, index and text. Markup in a text is shown as text."""
        assert _Tags(response._repr_html_()).texts == [
            "2 results",
            *("rank", "score", "index", "text"),
            *("1", "0.943", "2", "The cat", " <b>sat</b>"),
            *("2", "0.250", "0", "first"),
        ]

    def test_html_of_no_results(self):
        """It says so, and names the engine."""
        response = V2RerankResponse(results=[])
        set_call_info(response, CallInfo(answered_by="<b>"))
        assert _Tags(response._repr_html_()).texts == ["no results, answered by <b>"]

    def test_html_marks_relevant_spans(self):
        """A span beyond the start of a long text is shown with what is around it."""
        text = "before " * 100 + "<the cat>" + " after" * 100
        spans = [{"start": 700, "end": 709, "score": 1}]
        html = attach(parse_response(item_reply(relevant_spans=spans)), [text], [text])._repr_html_()
        assert "before <mark>&lt;the cat&gt;</mark> after" in html
        assert html.count("…") == 2

    @given(st.text(max_size=300), st.lists(st.tuples(st.integers(0, 310), st.integers(0, 310)), max_size=4))
    def test_html_of_any_spans(self, text, spans):
        """Overlapping, empty and too long spans lose no character of a short text."""
        spans = [{"start": min(span), "end": max(span), "score": 1} for span in spans]
        html = attach(parse_response(item_reply(relevant_spans=spans)), [text], [text])._repr_html_()
        shown = "".join("".join(_Tags(html).texts[8:]).split()).strip("…")
        assert shown in "".join(text.split())

    def test_html_of_long_lists_and_texts(self):
        """The table shows 20 rows of 120 characters, with or without texts."""
        seen = _Tags(many(50)._repr_html_())
        assert seen.texts[-1] == "… 30 more"
        assert seen.texts.count("20") == 1
        long = attach(many(1), ["a"], ["word " * 100])
        assert _Tags(long._repr_html_()).texts[-1] == ("word " * 24).rstrip() + "…"

    @pytest.mark.parametrize(("score", "width"), [(-3, "0.0%"), (0.5, "50.0%"), (7, "100.0%")])
    def test_html_bar_stays_in_its_cell(self, score, width):
        """The bar of a score outside of [0, 1] is clipped."""
        assert f"width:{width}" in parse_response(item_reply(relevance_score=score))._repr_html_()


def test_result_types_are_exported():
    """The module exports every name of its ``__all__``."""
    assert all(hasattr(types, name) for name in types.__all__)
    assert isinstance(parse_response(reply()).results[0], V2RerankResponseResultsItem)


def test_an_unknown_field_hides_no_method():
    """A server may name a new field like a method. The field is stored and dumped, and the method still works."""
    response = parse_response(
        '{"results": [{"index": 0, "relevance_score": 0.5, "model_dump": 3}], "filter": 1, "json": 2, "dict": {}}'
    )
    assert response.filter(min_score=0.1).results[0].relevance_score == 0.5
    dumped = response.dict()
    assert (dumped["filter"], dumped["json"], dumped["dict"]) == (1, 2, {})
    assert response.results[0].model_dump()["model_dump"] == 3
    assert "filter" in response.json()
