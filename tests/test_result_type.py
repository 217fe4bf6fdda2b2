"""The result types behave as pydantic's own dataclasses with the same fields, which are made here for comparison."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import operator
import pickle
import sys
import types
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import cohere_rerank
from cohere_rerank._result_base import ResultBase

NAMES = (
    "RerankRelevantSpans",
    "RerankRelevantSpanResponse",
    "V2RerankResponseResultsItem",
    "ApiMetaApiVersion",
    "ApiMetaBilledUnits",
    "ApiMetaTokens",
    "ApiMeta",
    "V2RerankResponse",
    "RerankResponseResultsItemDocument",
    "RerankResponseResultsItem",
    "RerankResponse",
)
OURS = {name: getattr(cohere_rerank, name) for name in NAMES}
TWINS: dict[Any, Any] = {}


def with_twins(annotation: Any) -> Any:
    """The annotation, with each of our types replaced by its twin."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return operator.getitem(Annotated, (with_twins(arguments[0]), *arguments[1:]))  # type: ignore[call-overload]
    if origin is list:
        return types.GenericAlias(list, (with_twins(arguments[0]),))
    if origin is types.UnionType:
        return with_twins(arguments[0]) | None
    return TWINS.get(annotation, annotation)


for name, ours in OURS.items():
    body = {
        "__annotations__": {field.name: with_twins(field.type) for field in dataclasses.fields(ours)},
        "__doc__": ours.__doc__,
        "__module__": ours.__module__,
        **{field.name: None for field in dataclasses.fields(ours) if field.default is None},
    }
    TWINS[ours] = pydantic.dataclasses.dataclass(
        type(name, ours.__bases__, body),
        frozen=True,
        slots=True,
        eq=False,
        repr=False,
        kw_only=True,
        config=pydantic.ConfigDict(extra="allow", coerce_numbers_to_str=True),
    )
    TWINS[ours]._field_names = ours._field_names

ADAPTERS = {kind: TypeAdapter(kind) for pair in TWINS.items() for kind in pair}
PAIRS = [pytest.param(ours, twin, id=ours.__name__) for ours, twin in TWINS.items()]
pairs = pytest.mark.parametrize(("ours", "twin"), PAIRS)


def bare(schema: Any, definitions: dict[str, Any] | None = None) -> Any:
    """A core schema without references, notes for JSON schemas, and keys that say what is the default."""
    definitions = definitions or {}
    if isinstance(schema, (list, tuple)):
        return [bare(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "definitions":
        return bare(schema["schema"], {one["ref"]: one for one in schema["definitions"]})
    if schema.get("type") == "definition-ref":
        return bare(definitions[schema["schema_ref"]], definitions)
    left_out = {"ref", "metadata", "generic_origin"}
    return {
        key: bare(value, definitions)
        for key, value in schema.items()
        if key not in left_out and value not in (None, False, []) and (key, value) != ("init", True)
    }


@pytest.mark.parametrize("ours", OURS.values(), ids=OURS)
def test_our_schema_is_the_one_of_pydantic(ours):
    """The schema that parses replies is the one that pydantic makes of the same annotations."""
    assert bare(ours._core_schema) == bare(ADAPTERS[ours].core_schema)


@pairs
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_json_schema(ours, twin, mode):
    """A JSON schema is that of a pydantic dataclass, alone and inside of the caller's model."""
    assert ADAPTERS[ours].json_schema(mode=mode) == ADAPTERS[twin].json_schema(mode=mode)
    inside = [
        pydantic.create_model("Page", items=(list[kind], ...), one=(kind | None, None)).model_json_schema(mode=mode)
        for kind in (ours, twin)
    ]
    assert inside[0] == inside[1]


@pairs
def test_dataclass_functions(ours, twin):
    """Functions of the standard library for dataclasses see the same fields and flags."""
    assert dataclasses.is_dataclass(ours)
    fields = [
        [(f.name, f.default, f.default_factory, f.init, f.kw_only, f.repr, f.compare) for f in dataclasses.fields(kind)]
        for kind in (ours, twin)
    ]
    assert fields[0] == fields[1]
    assert [with_twins(f.type) for f in dataclasses.fields(ours)] == [f.type for f in dataclasses.fields(twin)]
    assert ours.__match_args__ == twin.__match_args__ == ()
    assert ours.__slots__ == twin.__slots__
    assert ours.__dataclass_params__.frozen
    ours_takes, theirs_take = inspect.signature(ours).parameters, inspect.signature(twin).parameters
    assert {name: (one.kind, one.default) for name, one in ours_takes.items()} == {
        name: (one.kind, one.default) for name, one in theirs_take.items()
    }


plain = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-1, 2) | st.sampled_from(["", "a", "1", "enabled"])
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)


def typed(annotation: Any) -> Any:
    """The annotation, which is a type and not a string."""
    assert not isinstance(annotation, str)
    return annotation


@cache
def values_for(annotation) -> st.SearchStrategy[Any]:
    """Mostly values that an annotation accepts, and sometimes others."""
    if annotation in OURS.values():
        return st.builds(
            lambda known, more: known | more,
            st.fixed_dictionaries(
                {}, optional={f.name: values_for(typed(f.type)) | anything for f in dataclasses.fields(annotation)}
            ),
            st.dictionaries(st.sampled_from(["new", "document"]), plain, max_size=1),
        )
    arguments = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) is list:
        return st.lists(values_for(arguments[0]), max_size=2)
    if get_origin(annotation) in (Annotated, types.UnionType):
        return values_for(arguments[0])
    return st.integers(0, 3) if annotation is int else plain


def outcome(function: Any, value: Any) -> Any:
    """What a function returns as a dump, or the errors that it raises."""
    try:
        made = function(value)
    except ValidationError as error:
        return error.title, error.errors(include_url=False, include_input=False), str(error).count("\n")
    return repr(made.model_dump())


@pairs
@given(data=st.data())
def test_validation(ours, twin, data):
    """A value is accepted and dumped, or refused with the same errors, in each way to make one."""
    fields = data.draw(values_for(ours))
    for make in (
        lambda kind: lambda value: kind(**value),
        lambda kind: ADAPTERS[kind].validate_python,
        lambda kind: (kind._validator if kind is ours else kind.__pydantic_validator__).validate_python,
    ):
        assert outcome(make(ours), fields) == outcome(make(twin), fields)
    text = json.dumps(fields)
    assert outcome(ours.model_validate_json, text) == outcome(twin.__pydantic_validator__.validate_json, text)
    assert outcome(ADAPTERS[ours].validate_json, text) == outcome(ADAPTERS[twin].validate_json, text)


@pairs
def test_wrong_calls(ours, twin):
    """Positional arguments are refused in the same words."""
    errors = []
    for kind in (ours, twin):
        with pytest.raises(ValidationError) as caught:
            kind("a", "b")
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def an_item(kind: Any) -> Any:
    return kind(index=1, relevance_score=0.5, relevant_spans=[{"start": 0, "end": 1, "score": 1.0}], new=[1])


def test_frozen():
    """A result cannot be changed, and the message is that of dataclasses."""
    messages = []
    for kind in (cohere_rerank.V2RerankResponseResultsItem, TWINS[cohere_rerank.V2RerankResponseResultsItem]):
        item = an_item(kind)
        with pytest.raises(dataclasses.FrozenInstanceError) as assigned:
            item.index = 2
        with pytest.raises(dataclasses.FrozenInstanceError) as deleted:
            del item.index
        messages.append((str(assigned.value), str(deleted.value)))
    assert messages[0] == messages[1]


def test_copies():
    """Copies and pickles are equal, and changed copies are validated."""
    item = an_item(cohere_rerank.V2RerankResponseResultsItem)
    assert type(item).__module__ == "cohere_rerank.types"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(item, protocol)) == item
    assert copy.copy(item) == copy.deepcopy(item) == item
    assert dataclasses.replace(item, index=3).index == 3
    assert dataclasses.asdict(item)["relevant_spans"] == [{"start": 0, "end": 1, "score": 1.0}]
    with pytest.raises(ValidationError):
        dataclasses.replace(item, index=-1)
    if sys.version_info >= (3, 13):
        assert copy.replace(item, index=3).index == 3


def test_a_model_of_the_caller():
    """In the caller's model, a value is validated, kept as it is, and dumped as that of a pydantic dataclass."""
    item = cohere_rerank.V2RerankResponseResultsItem
    dumps = []
    for kind in (item, TWINS[item]):
        page = pydantic.create_model("Page", items=(list[kind], ...))
        value = an_item(kind)
        assert page(items=[value]).items[0] is value
        dumps.append((page(items=[value]).model_dump(), page(items=[value]).model_dump_json()))
    assert dumps[0] == dumps[1]


def test_a_subclass_is_a_dataclass():
    """A program can derive a dataclass of its own from a result type."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Mine(cohere_rerank.ApiMetaTokens):
        note: str = ""

    assert [field.name for field in dataclasses.fields(Mine)] == ["input_tokens", "output_tokens", "note"]
    assert Mine(input_tokens=1.0, note="a").note == "a"
    assert issubclass(Mine, ResultBase)
