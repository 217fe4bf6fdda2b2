"""Make the result types: dataclasses that pydantic_core alone builds and parses.

The import of pydantic itself would be a third of the cost of a first call. A result type looks like a standard
dataclass with a ``__pydantic_config__``, so pydantic makes schemas of it from the same annotations when a program asks
for one, as decision note 9 describes. The parts that only a program asks for are made when they are first used.
"""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import SchemaValidator, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_options: Any) -> Callable[[Any], Any]:
        """Return the function unchanged. Only type checkers use the mark."""
        return lambda function: function


_SCALARS: Mapping[Any, Callable[[], Any]] = {
    bool: core_schema.bool_schema,
    float: core_schema.float_schema,
    int: core_schema.int_schema,
    str: core_schema.str_schema,
}


def _describe(json_schema: dict[str, Any], cls: type) -> None:
    from inspect import cleandoc

    json_schema["description"] = cleandoc(cls.__doc__ or "")  # pydantic before 2.12 leaves it out


_PYDANTIC_CONFIG = {"extra": "allow", "coerce_numbers_to_str": True, "json_schema_extra": _describe}
_OF_THE_OLD_CLASS = ("__dict__", "__weakref__", "__annotate_func__", "__annotations_cache__")


class Constraint:
    """Further keys for the schema of a value, such as ``ge=0``. It is used inside ``Annotated``."""

    def __init__(self, **keys: Any) -> None:
        self._keys = keys

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), **self._keys}


class NoneOnError:
    """In a reply, a value of the wrong type is read as None, because the ranking is still good."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        checked = handler(source)
        or_none = core_schema.with_default_schema(checked, default=None, on_error="default")
        return core_schema.json_or_python_schema(or_none, checked)


@dataclass_transform(eq_default=False, kw_only_default=True, frozen_default=True)
def result_type(cls: Any) -> Any:
    """Make a frozen dataclass with slots and keyword-only fields of a class that is derived from ResultBase.

    The annotations are real types, not strings. The default of every field that has one is None.
    """
    annotations = dict(cls.__annotations__)
    defaults = {name: vars(cls)[name] for name in annotations if name in vars(cls)}
    body = {name: value for name, value in vars(cls).items() if name not in (*annotations, *_OF_THE_OLD_CLASS)}
    body |= {
        "__annotations__": annotations,
        "__slots__": tuple(annotations),
        "__match_args__": (),
        "__module__": "cohere_rerank.types",  # where it is public, for pickles
        "__pydantic_config__": _PYDANTIC_CONFIG,
        "__setattr__": _refuse_to_assign,
        "__delattr__": _refuse_to_delete,
        "_field_names": tuple(annotations),
    }
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made._core_schema = _dataclass_schema(made, annotations, defaults)
    for name, make in _MADE_WHEN_USED.items():
        setattr(made, name, _MadeWhenUsed(made, name, make))
    made._annotations_and_defaults = annotations, defaults
    return made


def _refuse_to_assign(_self: Any, name: str, _value: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


class _MadeWhenUsed:
    """A class attribute that is made when it is first read."""

    def __init__(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        self._owner, self._name, self._make = owner, name, make

    def __get__(self, instance: object, owner: type) -> Any:
        made = self._make(self._owner)  # not of a subclass, which inherits it
        setattr(self._owner, self._name, made)
        return made


def _standard_twin(cls: Any) -> Any:
    """Return a standard dataclass with the same fields, as the source of what dataclasses have."""
    from dataclasses import field, make_dataclass

    annotations, defaults = cls._annotations_and_defaults
    fields = [
        (name, kind, field(default=defaults[name]) if name in defaults else field())
        for name, kind in annotations.items()
    ]
    return make_dataclass(cls.__name__, fields, frozen=True, kw_only=True, eq=False, repr=False)


def _signature(cls: Any) -> Any:
    from inspect import signature

    return signature(_standard_twin(cls))


_MADE_WHEN_USED: Mapping[str, Callable[[Any], Any]] = {
    "__dataclass_fields__": lambda cls: _standard_twin(cls).__dataclass_fields__,
    "__dataclass_params__": lambda cls: _standard_twin(cls).__dataclass_params__,
    "__signature__": _signature,
    "_validator": lambda cls: SchemaValidator(cls._core_schema),
}


def _dataclass_schema(cls: Any, annotations: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Return the schema that pydantic makes of this class. A test compares the two."""
    fields = []
    for name, annotation in annotations.items():
        schema = _schema_of(annotation)
        if name in defaults:
            schema = core_schema.with_default_schema(schema, default=defaults[name])
        fields.append(core_schema.dataclass_field(name, schema))
    return core_schema.dataclass_schema(
        cls,
        core_schema.dataclass_args_schema(cls.__name__, fields),
        list(annotations),
        slots=True,
        config=core_schema.CoreConfig(title=cls.__name__, extra_fields_behavior="allow", coerce_numbers_to_str=True),
    )


def _schema_of(annotation: Any) -> Any:
    """Return the schema of one annotation of the kinds that the result types use."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]()
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *marks = arguments
        schema = _schema_of(inner)
        for mark in marks:
            schema = mark.__get_pydantic_core_schema__(inner, lambda _, made=schema: made)
        return schema
    if origin is list:
        return core_schema.list_schema(_schema_of(arguments[0]))
    if origin is Literal:
        return core_schema.literal_schema(list(arguments))
    if origin in (Union, UnionType):
        choices = [_schema_of(choice) for choice in arguments if choice is not type(None)]
        schema = choices[0] if len(choices) == 1 else core_schema.union_schema(choices)
        return core_schema.nullable_schema(schema) if type(None) in arguments else schema
    return annotation._core_schema
