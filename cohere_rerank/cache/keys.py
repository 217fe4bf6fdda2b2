"""Under which name a score is kept: a keyed digest, from which neither query nor document can be read. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from cohere_rerank._addresses import rerank_url
from cohere_rerank._wire.call import dump_json

if TYPE_CHECKING:
    from cohere_rerank._settings import Config
    from cohere_rerank._wire.call import Call

KEY_BYTES = 16
_NO_MATTER = ("documents", "top_n", "priority")  # to the score of a document


def endpoint(config: Config, call: Call) -> str | None:
    """Who scores; None if scores must not be kept, since they depend on the other documents of the list."""
    if not config.is_local:
        return f"{config.dialect} {rerank_url(config.base_url)}"
    from cohere_rerank.local.registry import scorer_resolver

    scorer = scorer_resolver(config.base_url, config.scorer)(call.body["model"])
    return f"local:{scorer.name}:{scorer.version}" if scorer.pointwise else None


def keys(secret: bytes, where: str, call: Call) -> list[bytes]:
    """One key for each document of the call, in their order.

    Args:
        secret: Makes the digests those of one cache: without it, nobody can tell whether a guess of a text is right.
        where: Who scores.
        call: All of it counts but ``top_n``, ``priority``, times and repeats.
    """
    body = {name: value for name, value in call.body.items() if name not in _NO_MATTER}
    common = dump_json({"where": where, "body": body, "params": call.params, "headers": call.headers})
    start = blake2b(common + b"\0", key=secret, digest_size=KEY_BYTES)
    return [_with(start, text) for text in call.texts]


def _with(start: blake2b, text: str) -> bytes:
    digest = start.copy()
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()
