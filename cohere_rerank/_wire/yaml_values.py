"""Convert Python values to values that YAML has a form for, in steps, without an import of a library.

A value of a library's type can only be there when the library is loaded, so types are looked up in ``sys.modules``.
``docs/explanation/documents.md`` has the table of forms for users.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .yaml import PlainScalar, dump, number, unsupported_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .yaml import Location


def fields_of(value: Any, *, any_row: bool = False) -> dict[Any, object] | None:
    """Return the fields of a structured value in their order, or None for any other value.

    Args:
        value: Anything.
        any_row: Whether a row of a database or a table counts too: an object with ``_mapping`` (SQLAlchemy), with
            ``keys()`` and item access (`sqlite3.Row`, dspy, pandas), with ``to_dict()`` (elasticsearch), or an
            object of a mapped class (SQLAlchemy, Django).
    """
    kind: type[Any] = type(value)
    if kind is dict:
        return value  # type: ignore[no-any-return]
    if isinstance(value, Mapping):
        return dict(value)
    if any_row and isinstance(mapping := getattr(value, "_mapping", None), Mapping):
        return dict(mapping)
    names = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
    if names is not None:  # a named tuple
        return dict(zip(names, value, strict=True))
    if _is(value, "pydantic.root_model", "RootModel"):
        return fields_of(value.root)
    if _is(value, "pydantic.main", "BaseModel"):
        return _model_fields(value)
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        names = [field.name for field in fields(value)]
    else:
        attributes = getattr(kind, "__attrs_attrs__", None)
        if attributes is None:
            return _row_fields(value) if any_row else None
        names = [attribute.name for attribute in attributes]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _row_fields(value: Any) -> dict[Any, object] | None:
    if isinstance(value, type) or hasattr(value, "columns"):  # a table
        return None
    if hasattr(type(value), "to_dict"):
        fields = value.to_dict()
        return dict(fields) if isinstance(fields, Mapping) else None
    if hasattr(type(value), "keys") and hasattr(type(value), "__getitem__"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118 - iterating a row may yield its values
    names = _columns_of(type(value))
    return None if names is None else {name: getattr(value, name) for name in names}


def _columns_of(kind: Any) -> list[str] | None:
    """Return the names of the columns of a mapped class, or None for any other class."""
    if (attributes := getattr(getattr(kind, "__mapper__", None), "column_attrs", None)) is not None:  # SQLAlchemy
        return list(attributes.keys())
    fields = getattr(getattr(kind, "_meta", None), "concrete_fields", None)  # Django
    return None if fields is None else [field.attname for field in fields]


MISSING = object()
_MAX_CONTENT_DEPTH = 8


def value_at(holder: Any, path: str) -> object:
    """Return the value at a name or a dotted path, or `MISSING`. A field whose name contains dots has priority."""
    fields = fields_of(holder, any_row=True)
    if fields is not None and path in fields:
        return fields[path]
    first, dot, rest = path.partition(".")
    step = MISSING if fields is None else fields.get(first, MISSING)
    if step is MISSING and not first.startswith("_"):
        step = getattr(holder, first, MISSING)
    return step if not dot or step is MISSING else value_at(step, rest)


def has_content(value: object, depth: int = 0) -> bool:
    """Return whether a value has content. A number is content; a blank text and an empty container are not."""
    if value is None:
        return False
    if depth > _MAX_CONTENT_DEPTH:  # the YAML writer judges what is nested this deep
        return True
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    if isinstance(value, Mapping):
        return any(has_content(item, depth + 1) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(has_content(item, depth + 1) for item in value)
    return True


def _model_fields(model: Any) -> dict[Any, object]:
    """Return the keys of pydantic's ``model_dump()`` with Python values: declared, extra, then computed fields."""
    kind = type(model)
    names = [name for name, field in kind.model_fields.items() if field.exclude is not True]
    fields: dict[Any, object] = {name: model.__dict__[name] for name in names if name in model.__dict__}
    fields.update(model.model_extra or {})
    fields.update({name: getattr(model, name) for name in kind.model_computed_fields})
    return fields


def to_plain(value: Any, location: Location) -> object:
    """Return a value that `dump` can write, or one that is a step nearer to it. *location* is for the error."""
    for module, name, convert in _CONVERTERS:
        if _is(value, module, name):
            return convert(value)
    fields = fields_of(value)
    if fields is not None:
        return fields
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return _ordered(value, location)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise unsupported_value(location, f"is {type_name(value)}; decode it to a str first")
    raise unsupported_value(
        location,
        f"is {type_name(value)}, which has no YAML form; pass a str, a number, a list or a mapping,"
        " or choose what is sent with rank_fields= or text=",
    )


def type_name(value: object) -> str:
    """Return the description of a value for an error. It does not show the value."""
    if value is None:
        return "None"
    kind = type(value)
    if isinstance(value, type):
        return f"the class {value.__qualname__} (not an instance)"
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"of type {module}{kind.__qualname__}"


def _is(value: object, module: str, name: str) -> bool:
    """Do the same as ``isinstance``, for a type of a library that may not be loaded."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))


def _ordered(items: Any, location: Location) -> list[object]:
    kinds = set(map(type, items))
    if kinds <= {str}:
        return sorted(items)
    if kinds <= {int, float}:
        return sorted(items, key=lambda item: (item != item, item))  # NaN has no order, so it comes last
    return sorted(items, key=lambda item: dump({"item": item}, location, to_plain))


def _datetime(value: Any) -> PlainScalar | None:
    # pandas.NaT is a datetime that is not equal to itself.
    return PlainScalar(value.isoformat(" ")) if value == value else None


def _timedelta(value: Any) -> str:
    # str() of minus one hour is "-1 day, 23:00:00".
    return f"-{-value}" if value.days < 0 else str(value)


def _numpy_time(value: Any) -> object:
    item = value.item()
    if isinstance(item, int):  # nanoseconds, which Python's types do not hold
        item = value.astype(f"{value.dtype.kind}8[us]").item()
    return str(value) if isinstance(item, int) else item


def _array(value: Any) -> object:
    if value.dtype.kind not in "mM":
        return value.tolist()
    return list(value) if value.ndim else value[()]


# The first that fits. Subclasses of plain types (numpy's float64 is one) lose their class.
_CONVERTERS: tuple[tuple[str, str, Callable[[Any], object]], ...] = (
    ("enum", "Enum", lambda value: value.value),
    ("builtins", "str", str.__str__),
    ("builtins", "int", int.__int__),
    ("builtins", "float", float.__float__),
    ("datetime", "datetime", _datetime),
    ("datetime", "date", lambda value: PlainScalar(value.isoformat())),
    ("datetime", "time", lambda value: value.isoformat()),
    ("datetime", "timedelta", _timedelta),
    ("decimal", "Decimal", lambda value: PlainScalar(number(str(value)))),
    ("uuid", "UUID", str),
    ("pathlib", "PurePath", str),
    ("pydantic.root_model", "RootModel", lambda value: value.root),
    ("pydantic.networks", "AnyUrl", str),
    ("pyarrow.lib", "Scalar", lambda value: value.as_py()),
    ("numpy", "ndarray", _array),
    ("numpy", "datetime64", _numpy_time),
    ("numpy", "timedelta64", _numpy_time),  # before the integers, of which it is one
    ("numpy", "bool_", bool),
    ("numpy", "integer", int),
    ("numpy", "floating", float),
)
