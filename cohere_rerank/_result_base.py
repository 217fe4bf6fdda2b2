"""The base of all result types: frozen values with dumps like the official client's, copies and pickles."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from pydantic_core import ArgsKwargs, SchemaSerializer, core_schema

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable
    from typing import ClassVar

    from pydantic_core import SchemaValidator
    from typing_extensions import Self

_serializer = SchemaSerializer(core_schema.any_schema())


class ResultBase:
    """The base of the types. Declared fields are slots. Unknown fields are in a dict that is made when needed."""

    __slots__ = ("__dict__", "__weakref__")
    # Slots that are not fields: not in dumps, equality, hash and repr, but copied and pickled.
    _internal_slots: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[builtins.dict[str, Any]]
        _field_names: ClassVar[tuple[str, ...]]
        _validator: ClassVar[SchemaValidator]

    def __init_subclass__(cls) -> None:
        # An unknown field may have the name of a property or method of ours (some servers echo `document`):
        # it is stored and dumped like any other, and the attribute remains ours.
        for name in {name for base in cls.__mro__[:-1] for name in vars(base)} - {"__dict__", "__weakref__"}:
            member = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
            if isinstance(member, property):
                setattr(cls, name, member.setter(_set_extra(name)))
            elif not name.startswith("_") and isinstance(member, (FunctionType, classmethod)):
                setattr(cls, name, _Method(name, member))

    def __init__(self, *args: Any, **fields: Any) -> None:
        type(self)._validator.validate_python(ArgsKwargs(args, fields), self_instance=self)

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Validate a mapping and return a value of this type. A value of this type is returned as it is."""
        value: Self = cls._validator.validate_python(obj)
        return value

    @classmethod
    def model_validate_json(cls, json_data: str | bytes) -> Self:
        """Validate JSON text and return a value of this type."""
        value: Self = cls._validator.validate_json(json_data)
        return value

    def model_dump(
        self,
        *,
        mode: str = "python",
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        **options: Any,
    ) -> builtins.dict[str, Any]:
        """Return the fields as a dict, and their values as dicts too.

        Args:
            mode: ``"python"`` returns every field. ``"json"`` leaves out fields that are None, as the official client
                does.
            exclude_unset: Whether to leave out fields that are None. A field that was not set is None.
            exclude_defaults: The same, because every default is None.
            exclude_none: The same, also for unknown fields that are None.
            options: Other options of pydantic's ``model_dump``, such as ``include`` and ``exclude``.
        """
        options.pop("by_alias", None)  # no field has an alias
        without_none = exclude_unset or exclude_defaults or exclude_none or mode == "json"
        plain = _plain(self, without_none=without_none, without_unknown_none=exclude_none)
        dumped: dict[str, Any] = _serializer.to_python(plain, mode=mode, **options)
        return dumped

    def model_dump_json(
        self,
        *,
        exclude_unset: bool = True,  # noqa: ARG002 - None is left out of JSON in any case
        exclude_defaults: bool = True,  # noqa: ARG002
        exclude_none: bool = False,
        **options: Any,
    ) -> str:
        """Return the fields that are not None as JSON text.

        Args:
            exclude_unset: For compatibility with pydantic. It has no effect.
            exclude_defaults: For compatibility with pydantic. It has no effect.
            exclude_none: Whether to leave out unknown fields that are None too.
            options: Other options of pydantic's ``model_dump_json``, such as ``indent`` and ``include``.
        """
        options.pop("by_alias", None)
        plain = _plain(self, without_none=True, without_unknown_none=exclude_none)
        return _serializer.to_json(plain, **options).decode()

    def dict(self, **options: Any) -> builtins.dict[str, Any]:
        """Return the fields that are not None as a dict. The options are those of ``model_dump``."""
        return self.model_dump(**{"exclude_unset": True, **options})

    def json(self, **options: Any) -> str:
        """Return the fields that are not None as JSON text. The options are those of ``model_dump_json``."""
        return self.model_dump_json(**options)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _declared(self) == _declared(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(tuple(v) if isinstance(v, list) else v for v in _declared(self)))

    def __repr__(self) -> str:
        fields = zip(type(self)._field_names, _declared(self))
        given = ", ".join(f"{name}={value!r}" for name, value in fields if value is not None)
        return f"{type(self).__name__}({given})"

    def __replace__(self, /, **changes: Any) -> Self:
        from dataclasses import replace as replace_fields

        return replace_fields(self, **changes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), _state(self))


class _Method:
    """A method that stays visible if an unknown field has the same name."""

    def __init__(self, name: str, method: Any) -> None:
        self._keep = _set_extra(name)
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: object, owner: type) -> Any:
        return self._method.__get__(instance, owner)

    def __set__(self, instance: ResultBase, value: object) -> None:
        self._keep(instance, value)


def _set_extra(name: str) -> Callable[[ResultBase, object], None]:
    def keep(self: ResultBase, value: object) -> None:
        self.__dict__[name] = value

    return keep


def _declared(value: ResultBase) -> list[Any]:
    return [getattr(value, name) for name in type(value)._field_names]


def _plain(value: Any, *, without_none: bool, without_unknown_none: bool) -> Any:
    """Return a value as dicts and lists, with unknown fields after the declared ones."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, ResultBase):
            return value
        fields: dict[str, Any] = {}
        for name in type(value)._field_names:
            item = getattr(value, name)
            if item is not None:
                fields[name] = plain(item) if isinstance(item, (list, ResultBase)) else item
            elif not without_none:
                fields[name] = None
        for name, item in value.__dict__.items():
            if not (without_unknown_none and item is None):
                fields[name] = plain(item)
        return fields

    return plain(value)


def _state(value: ResultBase) -> dict[str, Any]:
    """Return all attributes of a value by name. Internal slots are included if they are set."""
    names = (*type(value)._field_names, *type(value)._internal_slots)
    state = {name: getattr(value, name) for name in names if hasattr(value, name)}
    if value.__dict__:
        state["__dict__"] = dict(value.__dict__)
    return state


def _rebuild(cls: type[Any], state: dict[str, Any]) -> Any:
    value = object.__new__(cls)
    for name, item in state.items():
        object.__setattr__(value, name, item)  # frozen
    return value


def replace(value: Any, **changes: Any) -> Any:
    """Return a copy with some fields changed. The new values are not validated.

    Unlike ``dataclasses.replace``, it keeps unknown fields, the caller's documents and their texts.
    """
    return _rebuild(type(value), _state(value) | changes)
