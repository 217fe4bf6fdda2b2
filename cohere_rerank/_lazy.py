"""Import public names when they are first used (PEP 562).

A package must not import its own modules while it is imported. Threads would wait for each other if one imports the
package and another one imports such a module directly. Python ends this with an error or a half-imported module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy_exports(
    namespace: dict[str, Any], exports: Mapping[str, str], advice: Callable[[str], str] = lambda _name: ""
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__``.

    Args:
        namespace: The package's ``globals()``.
        exports: The module of the package that defines each name; "" for a name that is a module itself.
        advice: Returns what to add to the error for a name that the package does not have.
    """
    package = namespace["__name__"]

    def __getattr__(name: str) -> object:  # noqa: N807 - it becomes the package's
        from importlib import import_module
        from sys import modules

        module = exports.get(name)
        if module is None:
            message = f"module {package!r} has no attribute {name!r}{advice(name)}"
            raise AttributeError(message, name=name, obj=modules[package])
        if not module:
            return import_module(f".{name}", package)
        namespace[name] = getattr(import_module(f".{module}", package), name)
        return namespace[name]

    def __dir__() -> list[str]:  # noqa: N807 - as above
        return sorted({*namespace, *namespace["__all__"]})

    return __getattr__, __dir__
