"""The files of an exported model: in a folder, downloaded by name, or in a repository on the Hugging Face hub."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cohere_rerank import models
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.models import hub

from .external_data import external_files
from .tokenizer_file import check_tokenizer, read_json

_MODEL_FILES = ("model.onnx", "onnx/model.onnx")  # the usual places of exporters
_BY_NAME = "model:"
_MAX_CONFIG_BYTES = 8 << 20  # some have a copy of thousands of added tokens
_MAX_TOKENS = 512  # the cost of an input grows with the square of its length, and documents are read in chunks anyway
_ROBERTA_LIKE = ("roberta", "camembert", "xlm-r", "mpnet")  # two positions are reserved for padding


class ModelFolder:
    """The files of one model.

    Args:
        path: A folder; ``model:name`` for a model that ``cohere-rerank models get`` downloaded; or ``hub:owner/name``
            for a repository on the Hugging Face hub.
        file: The file of the model in the folder. Default: ``model.onnx``, ``onnx/model.onnx`` or the only ``*.onnx``.
        revision: The commit of the repository on the hub, 40 hex digits. Required there.

    Attributes:
        path: The folder.
        model: The file of the model.
        tokenizer: The file of the tokenizer.

    Raises:
        InvalidRequestError: The folder or a file is missing, the folder contains several models, the tokenizer is too
            large, or the model names a file outside the folder.
    """

    def __init__(self, path: str | os.PathLike[str], file: str | None = None, revision: str | None = None) -> None:
        self.path, root = _folder(path, file, revision)
        self.model = _model_file(self.path, file)
        self.tokenizer = self.path / "tokenizer.json"
        if not self.tokenizer.is_file():
            raise InvalidRequestError(
                f"there is no tokenizer.json in {self.path}; export the model's fast tokenizer into this folder "
                "(tokenizer.save_pretrained)"
            )
        check_tokenizer(self.tokenizer)
        self._external = external_files(self.model, root)

    def max_tokens(self) -> int:
        """Return the most tokens of one input by the model's configuration, at most 512."""
        config = self._json("config.json")
        positions = config.get("max_position_embeddings")
        if type(positions) is int and str(config.get("model_type")).startswith(_ROBERTA_LIKE):
            positions -= 2
        limits = [positions, self._json("tokenizer_config.json").get("model_max_length")]
        return min([_MAX_TOKENS, *(limit for limit in limits if type(limit) is int and limit > 0)])

    def pooling(self) -> str:
        """Return the pooling in the configuration of sentence-transformers, ``cls`` or ``mean``."""
        return "cls" if self._json("1_Pooling/config.json").get("pooling_mode_cls_token") else "mean"

    def digest(self) -> str:
        """Return eight hex digits that change if the contents of the model or the tokenizer change."""
        digest = blake2b(digest_size=4)
        for file in [self.model, *self._external, self.tokenizer]:
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        return read_json(file, _MAX_CONFIG_BYTES) if file.is_file() else {}


def _folder(path: str | os.PathLike[str], file: str | None, revision: str | None) -> tuple[Path, Path]:
    """Return the folder, and the folder that all its files must be in after symbolic links are followed."""
    text = os.fspath(path)
    if text.startswith(hub.SCHEME):
        names = [file] if file else list(_MODEL_FILES)
        patterns = ["*.json", "1_Pooling/*.json", *names, *(f"{name}[._]*" for name in names)]
        folder = hub.download(text.removeprefix(hub.SCHEME), revision, patterns)
        return folder, folder.parent.parent  # the hub's cache has links from snapshots/COMMIT to blobs
    if revision is not None:
        raise InvalidRequestError(f"revision= is for a path such as hub:owner/name, got path={text!r}")
    folder = models.path(text.removeprefix(_BY_NAME)) if text.startswith(_BY_NAME) else Path(path).expanduser()
    if folder.is_dir():
        return folder, folder
    if folder.exists():
        raise InvalidRequestError(
            f"{folder} is not a folder; pass the folder that contains the model and tokenizer.json"
        )
    raise InvalidRequestError(
        f"there is no model folder {text!r} (the current folder is {Path.cwd()}); "
        "a model on the Hugging Face hub is path=hub:owner/name"
    )


def _model_file(folder: Path, file: str | None) -> Path:
    if file is not None:
        if not (folder / file).is_file():
            raise InvalidRequestError(f"there is no file {file!r} in {folder}; check file=")
        return folder / file
    exported = [folder / name for name in _MODEL_FILES if (folder / name).is_file()]
    found = exported[:1] or sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidRequestError(f"there is no *.onnx file in {folder}; export the model to ONNX first")
    names = ", ".join(str(model.relative_to(folder)) for model in found)
    raise InvalidRequestError(f"{folder} contains several models; pass file= with one of {names}")
