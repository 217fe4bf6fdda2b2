"""The key of a score: a keyed digest that reveals neither the query nor the document. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from cohere_rerank._addresses import rerank_url
from cohere_rerank._secrets import SECRET_NAME
from cohere_rerank._wire.json_body import dump_json

if TYPE_CHECKING:
    from cohere_rerank._settings import Config
    from cohere_rerank._wire.call import Call

KEY_BYTES = 16
_NOT_IN_KEY = ("documents", "top_n", "priority")  # these do not change the score of a document


def scorer_id(config: Config, call: Call) -> str | None:
    """Return what identifies the scorer, or None if its scores depend on the other documents of the list."""
    if config.pointwise is False:
        return None
    if not config.is_local:
        return f"{config.dialect} {rerank_url(config.base_url)}"
    from cohere_rerank.local.registry import scorer_resolver

    scorer = scorer_resolver(config.base_url, config.scorer)(call.body["model"])
    return f"local:{scorer.name}:{scorer.version}" if scorer.pointwise else None


def score_keys(secret: bytes, scorer: str, call: Call) -> list[bytes]:
    """Return one key for each document of the call, in their order.

    Args:
        secret: The key of the digests. Without it, a guess of a text cannot be verified.
        scorer: The result of `scorer_id`.
        call: Everything in it counts, except ``top_n``, ``priority``, timeouts, retries, and headers with secrets.
    """
    body = {name: value for name, value in call.body.items() if name not in _NOT_IN_KEY}
    headers = {name: value for name, value in call.headers.items() if not SECRET_NAME.search(name)}
    common = dump_json({"where": scorer, "body": body, "params": call.params, "headers": headers})
    prefix = blake2b(common + b"\0", key=secret, digest_size=KEY_BYTES)
    return [_digest(prefix, text) for text in call.texts]


def _digest(prefix: blake2b, text: str) -> bytes:
    digest = prefix.copy()
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.digest()
