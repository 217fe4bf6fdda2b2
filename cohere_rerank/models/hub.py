"""Download a model from the Hugging Face hub: only when asked to, and only a fixed revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from cohere_rerank.errors import InvalidRequestError

__all__ = ["SCHEME", "download"]

SCHEME = "hub:"

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")


def download(name: str, revision: str | None, files: Sequence[str]) -> Path:
    """Return the folder with the files of a repository, from the cache of the hub's client or from the hub.

    Args:
        name: ``owner/name``.
        revision: The commit, 40 hex digits. A branch or tag could be moved to other files later.
        files: Patterns of the files that are needed.

    Raises:
        InvalidRequestError: The name or the revision is not valid, the client is not installed, or the download failed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(f"path must be 'hub:owner/name' for a model on the Hugging Face hub, got {name!r}")
    if revision is None or not _COMMIT.fullmatch(revision):
        raise InvalidRequestError(
            f"the model hub:{name} needs revision= with a commit of its repository, 40 hex digits, got {revision!r}; "
            "a branch or tag may change later"
        )
    try:
        hub = import_module("huggingface_hub")
    except ImportError:
        raise InvalidRequestError(
            f"the model hub:{name} needs the hub's client; install it with: pip install huggingface_hub"
        ) from None
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(files)))
    except Exception as error:  # the hub's client raises the errors of several HTTP libraries
        raise InvalidRequestError(
            f"the download of the model hub:{name} failed with {type(error).__name__}: {error}"
        ) from error
