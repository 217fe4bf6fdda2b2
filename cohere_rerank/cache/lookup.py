"""One call's way through a cache: what is known, what to ask, what to wait for, and the answer made of it all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from cohere_rerank._result_base import replaced
from cohere_rerank._wire.call import Call
from cohere_rerank._wire.response import merge_meta, with_common_scale
from cohere_rerank.errors import CohereRerankError
from cohere_rerank.types import (
    ApiMeta,
    ApiMetaBilledUnits,
    RerankRelevantSpanResponse,
    V2RerankResponse,
    V2RerankResponseResultsItem,
    attach,
)

from . import keys
from .stores import Entry

if TYPE_CHECKING:
    from typing_extensions import Self

    from cohere_rerank._base_client import BaseClient

    from .score_cache import ScoreCache

_NAP_MIN_S, _NAP_MAX_S = 0.001, 0.02  # between two looks at whether another call has its answer
_SPANS = TypeAdapter(list[RerankRelevantSpanResponse])


class Lookup:
    """The state of one call. Its keys are those of its documents; the same text has the same key."""

    def __init__(self, cache: ScoreCache, client: BaseClient, call: Call, where: str) -> None:
        self.store = cache._store
        self._cache = cache
        self._client = client
        self._call = call
        self._deadline = client._deadline(call)
        self._keys = keys.keys(self.store.secret, where, call)
        self._open = dict.fromkeys(self._keys)  # keys without a score, in order
        self._known: dict[bytes, Entry] = {}
        self._items: dict[bytes, V2RerankResponseResultsItem] = {}  # from replies to this very call
        self._fresh: list[V2RerankResponse] = []
        self._nap_s = _NAP_MIN_S

    @classmethod
    def of(cls, client: BaseClient, call: Call) -> Self | None:
        """None if what answers the call looks at the whole list, so that no score can be kept."""
        cache, where = client._config.cache, keys.endpoint(client._config, call)
        return None if cache is None or where is None else cls(cache, client, call, where)

    @property
    def is_open(self) -> bool:
        """Whether a document's score is neither known nor asked for in vain."""
        return bool(self._open)

    @contextmanager
    def leading(self) -> Iterator[list[bytes]]:
        """The keys to look up; while it lasts, other calls leave to this one what this one asks for."""
        self._mine = self._cache._lead(self._open, self)
        try:
            yield list(self._open)
        finally:
            self._cache._land(self._mine)  # also after a failure: who waits then asks on its own account

    def found(self, entries: Mapping[bytes, Entry]) -> list[bytes]:
        """Take what the store knows; give the keys that are left for this call to ask for."""
        self._known.update(entries)
        self._count("cache_hits", sum(key in entries for key in self._keys))
        for key in entries:
            del self._open[key]
        return [key for key in self._mine if key in self._open]

    def part(self, missing: Iterable[bytes]) -> Call:
        """The call for these documents alone: all their scores, within the time that is left."""
        call, asked = Call(), set(missing)
        for name in Call.__slots__:
            setattr(call, name, getattr(self._call, name))
        first = {key: index for index, key in reversed(list(enumerate(self._keys)))}
        indices = [first[key] for key in missing]
        call.texts = [self._call.texts[index] for index in indices]
        call.documents = [*call.texts]  # the caller's objects are attached to the whole response
        call.body = {name: value for name, value in self._call.body.items() if name != "top_n"}
        call.body["documents"] = call.texts
        call.top_n = call.min_score = call.indices = None
        call.deadline_s = self._deadline.remaining()
        self._count("cache_misses", sum(key in asked for key in self._keys))
        return call

    def learned(self, asked: list[bytes], response: V2RerankResponse) -> dict[bytes, Entry]:
        """Take a reply to `part`; give the entries to keep."""
        self._fresh.append(response)
        for key in asked:
            del self._open[key]
        items = {asked[item.index]: item for item in response.results}
        self._items.update(items)
        scale = response.score_scale
        return {key: Entry(item.relevance_score, _packed(item.relevant_spans), scale) for key, item in items.items()}

    def nap_s(self) -> float:
        """Seconds to wait before looking again at what other calls ask for; 0.0 once none does.

        Raises:
            DeadlineExceededError: This call's time is over.
        """
        if not self._cache._is_flying(self._open):
            return 0.0
        from cohere_rerank._transport.errors import deadline_exceeded

        if self._deadline.remaining() <= 0:
            raise deadline_exceeded(self._deadline)
        self._nap_s = min(2 * self._nap_s, _NAP_MAX_S)
        return self._nap_s

    def response(self) -> V2RerankResponse:
        """The answer to the whole call, as if all of it had been sent."""
        results = [item for index, key in enumerate(self._keys) if (item := self._item(index, key)) is not None]
        results.sort(key=lambda item: (-item.relevance_score, item.index))
        results = results[: self._call.top_n]
        if self._fresh:
            meta = merge_meta([response.meta for response in self._fresh])
            response: V2RerankResponse = replaced(self._fresh[0], results=results, meta=meta)
        else:  # nothing was sent, so nothing is billed: that is known
            meta = ApiMeta(billed_units=ApiMetaBilledUnits(search_units=0.0))
            response = V2RerankResponse(results=results, meta=meta)
        scales = [*(entry.scale for entry in self._known.values()), *(response.score_scale for response in self._fresh)]
        response = with_common_scale(response, scales)
        attach(response, self._call.documents, self._call.texts, self._call.indices)
        least = self._call.min_score
        return response if least is None else response.filter(min_score=least)

    def by_fallback(self, response: V2RerankResponse) -> V2RerankResponse:
        """The fallback's answer to the whole call, after it has answered `part`: its scores go with no others."""
        from cohere_rerank.local.fallback import fallback_response

        whole = fallback_response(self._call, CohereRerankError("see above"), self._client._config.fallback)
        answered: V2RerankResponse = replaced(whole, meta=response.meta)
        return answered

    def _item(self, index: int, key: bytes) -> Any:
        item, entry = self._items.get(key), self._known.get(key)
        if item is not None:
            return replaced(item, index=index)
        if entry is None:  # the reply left it out
            return None
        spans = None if entry.spans is None else _SPANS.validate_json(entry.spans)
        return V2RerankResponseResultsItem(index=index, relevance_score=entry.score, relevant_spans=spans)

    def _count(self, name: str, amount: int) -> None:
        if amount:
            self._client._shared.ledger.add(self._client._config.tag, name, amount)


def _packed(spans: list[RerankRelevantSpanResponse] | None) -> bytes | None:
    return None if spans is None else _SPANS.dump_json(spans)
