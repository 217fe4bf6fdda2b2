"""Write request bodies as JSON. Pure."""

from __future__ import annotations

from functools import cache

from pydantic_core import to_json

from cohere_rerank.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

# Fields that are checked before, so that both encoders write the same bytes: strings and whole numbers.
_CHECKED_FIELDS = frozenset({"model", "query", "documents", "top_n", "max_tokens_per_doc", "priority"})
_MANY_DOCUMENTS = 32  # in one body
_MANY_WRITTEN = 2_500  # in all bodies of a process: by then, orjson would have saved the time of its import


class _Written:
    """Counts documents, because short lists are written so fast that a few of them do not pay for orjson's import."""

    _n_documents = 0

    def pays_for_import(self, n_documents: int) -> bool:
        """Return whether the next body should be written with orjson."""
        self._n_documents += n_documents
        return n_documents >= _MANY_DOCUMENTS or self._n_documents > _MANY_WRITTEN


_written = _Written()


def dump_body(body: Mapping[str, Any]) -> bytes:
    """Return the body of a call as `dump_json` does, with orjson if it is installed, which is several times as fast.

    A body with other fields has values that the two write in different ways, such as NaN or a date.
    """
    n_documents = len(body["documents"])
    if _written.pays_for_import(n_documents) and body.keys() <= _CHECKED_FIELDS:
        dumps = _orjson_dumps()
        if dumps is not None:
            try:
                return dumps(body)
            except TypeError:  # a lone surrogate, or an integer of more than 64 bits
                pass
    return dump_json(body)


@cache
def _orjson_dumps() -> Callable[[Any], bytes] | None:
    try:
        from orjson import dumps
    except ImportError:  # the extra "orjson" is not installed
        return None
    return dumps


def dump_json(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON in UTF-8. A lone surrogate has no form in UTF-8 and becomes U+FFFD, with a warning.

    Raises:
        InvalidRequestError: A value has no JSON form.
    """
    try:
        return to_json(body)
    except ValueError as error:
        if "surrogates not allowed" not in str(error):
            raise InvalidRequestError(f"additional_body_parameters have no JSON form: {error}") from None
    from cohere_rerank._warn import warn

    warn("a lone surrogate in the query or a document was sent as U+FFFD", UnicodeWarning)
    return dump_json(_without_surrogates(body))


def json_size(text: str) -> int:
    """Return the number of bytes of a text in a JSON body."""
    try:
        return len(to_json(text))  # with its quotation marks
    except ValueError:
        return json_size(_without_surrogates(text))


def _without_surrogates(value: Any) -> Any:
    """Replace lone surrogates one by one, so that the positions of spans stay right."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(item) for item in value]
    return value
