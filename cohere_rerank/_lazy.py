"""Public names that are imported when first used (PEP 562)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def late_names(
    namespace: dict[str, Any], where: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__``.

    Args:
        namespace: The package's ``globals()``.
        where: In which of its modules each name stands; a name that is a module itself stands in "".
    """
    package = namespace["__name__"]

    def __getattr__(name: str) -> object:  # noqa: N807 - it becomes the package's
        from importlib import import_module

        module = where.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not module:
            return import_module(f".{name}", package)
        namespace[name] = getattr(import_module(f".{module}", package), name)
        return namespace[name]

    def __dir__() -> list[str]:  # noqa: N807 - as above
        return sorted({*namespace, *namespace["__all__"]})

    return __getattr__, __dir__
