"""One call with a cache: which scores are known, what to send, what to wait for, and the combined response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from cohere_rerank._result_base import replace
from cohere_rerank._wire.call import Call
from cohere_rerank._wire.response import merge_meta, with_common_scale
from cohere_rerank.types import (
    ApiMeta,
    ApiMetaBilledUnits,
    RerankRelevantSpanResponse,
    V2RerankResponse,
    V2RerankResponseResultsItem,
)
from cohere_rerank.types.parsing import attach

from .keys import score_keys, scorer_id
from .stores import Entry

if TYPE_CHECKING:
    from typing_extensions import Self

    from cohere_rerank._calls import BaseCalls

    from .score_cache import ScoreCache

_POLL_MIN_S, _POLL_MAX_S = 0.001, 0.02  # between two checks whether another call has its response
_SPANS = TypeAdapter(list[RerankRelevantSpanResponse])


class CachedCall:
    """The state of one call. Each document has a key, and equal texts have equal keys."""

    def __init__(self, cache: ScoreCache, calls: BaseCalls, call: Call, scorer: str) -> None:
        self.store = cache._store
        self._cache = cache
        self._calls = calls
        self._call = call
        self.deadline = calls.deadline(call)
        self._keys = score_keys(self.store.secret, scorer, call)
        self._open = dict.fromkeys(self._keys)  # keys without a score, in order
        self._known: dict[bytes, Entry] = {}
        self._spans: dict[bytes, list[RerankRelevantSpanResponse] | None] = {}  # of these entries
        self._items: dict[bytes, V2RerankResponseResultsItem] = {}  # from replies to this very call
        self._fresh: list[V2RerankResponse] = []
        self._sleep_s = _POLL_MIN_S

    @classmethod
    def of(cls, calls: BaseCalls, call: Call) -> Self | None:
        """Return the cached call, or None if the scorer looks at the whole list, so that no score can be kept."""
        cache, scorer = calls.config.cache, scorer_id(calls.config, call)
        return None if cache is None or scorer is None else cls(cache, calls, call, scorer)

    @property
    def is_open(self) -> bool:
        """Whether a document still has no score and was not sent by this call."""
        return bool(self._open)

    @contextmanager
    def single_flight(self) -> Iterator[list[bytes]]:
        """Yield the keys to look up. Meanwhile other calls wait for the documents that this call claims."""
        self._claimed = self._cache._claim(self._open, self)
        try:
            yield list(self._open)
        finally:
            self._cache._release(self._claimed)  # also after a failure: the calls that wait then send the documents

    def add_cached(self, entries: Mapping[bytes, Entry]) -> list[bytes]:
        """Add the entries of the store, and return the keys that this call has to send."""
        entries = {key: entry for key, entry in entries.items() if self._add_spans(key, entry)}
        self._known.update(entries)
        self._count("cache_hits", sum(key in entries for key in self._keys))
        for key in entries:
            del self._open[key]
        return [key for key in self._claimed if key in self._open]

    def call_for_missing(self, missing: Iterable[bytes]) -> Call:
        """Return a call for these documents alone: with all their scores, and with the remaining deadline."""
        call, asked = Call(), set(missing)
        for name in Call.__slots__:
            setattr(call, name, getattr(self._call, name))
        first = {key: index for index, key in reversed(list(enumerate(self._keys)))}
        indices = [first[key] for key in missing]
        call.texts = [self._call.texts[index] for index in indices]
        call.documents = [*call.texts]  # the caller's objects are attached to the whole response
        call.body = {name: value for name, value in self._call.body.items() if name != "top_n"}
        call.body["documents"] = [self._call.body["documents"][index] for index in indices]  # mappings in a v1 call
        call.top_n = call.min_score = call.indices = None
        call.deadline_s = self.deadline.remaining()
        self._count("cache_misses", sum(key in asked for key in self._keys))
        return call

    def add_scored(self, asked: list[bytes], response: V2RerankResponse) -> dict[bytes, Entry]:
        """Add the response to `call_for_missing`, and return the entries to keep."""
        self._fresh.append(response)
        for key in asked:
            del self._open[key]
        items = {asked[item.index]: item for item in response.results}
        self._items.update(items)
        scale = response.score_scale
        return {
            key: Entry(item.relevance_score, _dump_spans(item.relevant_spans), scale) for key, item in items.items()
        }

    def sleep_s(self) -> float:
        """Return the seconds until the next check of the documents that other calls are sending; 0.0 if there are none.

        Raises:
            DeadlineExceededError: The deadline of this call has passed.
        """
        if not self._cache._is_in_flight(self._open):
            return 0.0
        from cohere_rerank._transport.errors import deadline_exceeded

        if self.deadline.remaining() <= 0:
            raise deadline_exceeded(self.deadline)
        self._sleep_s = min(2 * self._sleep_s, _POLL_MAX_S)
        return self._sleep_s

    def response(self) -> V2RerankResponse:
        """Return the response to the whole call, as if all documents had been sent."""
        results = [item for index, key in enumerate(self._keys) if (item := self._item(index, key)) is not None]
        results.sort(key=lambda item: (-item.relevance_score, item.index))
        results = results[: self._call.top_n]
        if self._fresh:
            meta = merge_meta([response.meta for response in self._fresh])
            response: V2RerankResponse = replace(self._fresh[0], results=results, meta=meta)
        else:  # nothing was sent, so it is certain that nothing is billed
            meta = ApiMeta(billed_units=ApiMetaBilledUnits(search_units=0.0))
            response = V2RerankResponse(results=results, meta=meta)
        scales = [*(entry.scale for entry in self._known.values()), *(response.score_scale for response in self._fresh)]
        response = with_common_scale(response, scales)
        attach(response, self._call.documents, self._call.texts, self._call.indices)
        min_score = self._call.min_score
        return response if min_score is None else response.filter(min_score=min_score)

    def _item(self, index: int, key: bytes) -> Any:
        item, entry = self._items.get(key), self._known.get(key)
        if item is not None:
            return replace(item, index=index)
        if entry is None:  # the reply did not contain it
            return None
        return V2RerankResponseResultsItem(index=index, relevance_score=entry.score, relevant_spans=self._spans[key])

    def _add_spans(self, key: bytes, entry: Entry) -> bool:
        """Add the spans of an entry. Return False if they are damaged, so that the document is sent again."""
        try:
            self._spans[key] = None if entry.spans is None else _SPANS.validate_json(entry.spans)
        except ValidationError:
            return False
        return True

    def _count(self, name: str, amount: int) -> None:
        if amount:
            self._calls.count(name, amount)


def _dump_spans(spans: list[RerankRelevantSpanResponse] | None) -> bytes | None:
    return None if spans is None else _SPANS.dump_json(spans)
