"""The files of an exported model, in a folder or in a repository on the Hugging Face hub."""

from __future__ import annotations

import json
import os
import re
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

from cohere_rerank.errors import InvalidRequestError

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_MODEL_FILES = ("model.onnx", "onnx/model.onnx")  # the usual places of exporters
_MAX_TOKENS = 512  # the cost of an input grows with the square of its length, and documents are read in chunks anyway
_ROBERTA_LIKE = ("roberta", "camembert", "xlm-r", "mpnet")  # two positions are reserved for padding


class ModelFolder:
    """The files of one model.

    Args:
        path: A folder; or ``owner/name`` on the hub, if there is neither such a folder nor a folder ``owner``.
        file: The file of the model in the folder. Default: ``model.onnx``, ``onnx/model.onnx`` or the only ``*.onnx``.
        revision: The revision of the repository on the hub.

    Attributes:
        path: The folder.
        model: The file of the model.
        tokenizer: The file of the tokenizer.

    Raises:
        InvalidRequestError: The folder or a file is missing, or the folder contains several models.
    """

    def __init__(self, path: str | os.PathLike[str], file: str | None = None, revision: str | None = None) -> None:
        self.path = _folder(path, file, revision)
        self.model = _model_file(self.path, file)
        self.tokenizer = self.path / "tokenizer.json"
        if not self.tokenizer.is_file():
            raise InvalidRequestError(
                f"there is no tokenizer.json in {self.path}; export the model's fast tokenizer into this folder "
                "(tokenizer.save_pretrained)"
            )

    def max_tokens(self) -> int:
        """Return the most tokens of one input by the model's configuration, at most 512."""
        config = self._json("config.json")
        positions = config.get("max_position_embeddings")
        if isinstance(positions, int) and str(config.get("model_type")).startswith(_ROBERTA_LIKE):
            positions -= 2
        limits = [positions, self._json("tokenizer_config.json").get("model_max_length")]
        return min([_MAX_TOKENS, *(limit for limit in limits if isinstance(limit, int) and limit > 0)])

    def pooling(self) -> str:
        """Return the pooling in the configuration of sentence-transformers, ``cls`` or ``mean``."""
        return "cls" if self._json("1_Pooling/config.json").get("pooling_mode_cls_token") else "mean"

    def digest(self) -> str:
        """Return eight hex digits that change if the contents of the model or the tokenizer change."""
        digest = blake2b(digest_size=4)
        for file in [self.model, *sorted(self.model.parent.glob(f"{self.model.name}[._]*")), self.tokenizer]:
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        if not file.is_file():
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidRequestError(f"{file} is not valid JSON: {error}") from None
        return content if isinstance(content, dict) else {}


def _folder(path: str | os.PathLike[str], file: str | None, revision: str | None) -> Path:
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise InvalidRequestError(
            f"{folder} is not a folder; give the folder that contains the model and tokenizer.json"
        )
    # If models/ is a folder, models/minilm is a misspelled path and not a repository.
    if isinstance(path, str) and _HUB_NAME.fullmatch(path) and not folder.parent.exists():
        return _download(path, file, revision)
    raise InvalidRequestError(f"there is no model folder {str(path)!r} (the current folder is {Path.cwd()})")


def _download(name: str, file: str | None, revision: str | None) -> Path:
    try:
        hub = import_module("huggingface_hub")
    except ImportError:
        raise InvalidRequestError(
            f"there is no model folder {name!r}; to fetch a model of that name from the Hugging Face hub, "
            "pip install huggingface_hub"
        ) from None
    files = [file] if file else list(_MODEL_FILES)
    patterns = ["*.json", "1_Pooling/*.json", *files, *(f"{model}[._]*" for model in files)]
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises the errors of several HTTP libraries
        raise InvalidRequestError(
            f"there is no model folder {name!r}, and the download from the Hugging Face hub failed with "
            f"{type(error).__name__}: {error}"
        ) from error


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
