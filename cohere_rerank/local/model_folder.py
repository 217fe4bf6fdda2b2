"""Where an exported model lies: the files of a folder or of a repository on the Hugging Face hub."""

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
_MODEL_FILES = ("model.onnx", "onnx/model.onnx")  # where exporters put it
_MOST_TOKENS = 512  # longer inputs cost more than their square; documents are read in chunks anyway
_ROBERTA_LIKE = ("roberta", "camembert", "xlm-r", "mpnet")  # positions start behind the padding's, so two less fit


class ModelFolder:
    """The files of one model.

    Args:
        path: A folder, or ``owner/name`` on the hub when there is neither such a folder nor one named ``owner``.
        file: The model's file in it; ``model.onnx`` or ``onnx/model.onnx``, else the only ``*.onnx``, unless given.
        revision: Of the repository on the hub.

    Attributes:
        path: The folder.
        model: The model's file.
        tokenizer: The tokenizer's file.

    Raises:
        InvalidRequestError: The folder or a file is missing, or there are several models to choose from.
    """

    def __init__(self, path: str | os.PathLike[str], file: str | None = None, revision: str | None = None) -> None:
        self.path = _folder(path, file, revision)
        self.model = _model_file(self.path, file)
        self.tokenizer = self.path / "tokenizer.json"
        if not self.tokenizer.is_file():
            raise InvalidRequestError(
                f"there is no tokenizer.json in {self.path}; export the model's fast tokenizer into it "
                "(tokenizer.save_pretrained)"
            )

    def max_tokens(self) -> int:
        """How many tokens the model's configuration allows for one input, at most 512."""
        config = self._json("config.json")
        positions = config.get("max_position_embeddings")
        if isinstance(positions, int) and str(config.get("model_type")).startswith(_ROBERTA_LIKE):
            positions -= 2
        limits = [positions, self._json("tokenizer_config.json").get("model_max_length")]
        return min([_MOST_TOKENS, *(limit for limit in limits if isinstance(limit, int) and limit > 0)])

    def pooling(self) -> str:
        """How sentence-transformers says that token vectors become one: ``cls`` or ``mean``."""
        return "cls" if self._json("1_Pooling/config.json").get("pooling_mode_cls_token") else "mean"

    def digest(self) -> str:
        """Eight hex digits that change with the contents of the model or its tokenizer."""
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
            raise InvalidRequestError(f"{file} is not JSON: {error}") from None
        return content if isinstance(content, dict) else {}


def _folder(path: str | os.PathLike[str], file: str | None, revision: str | None) -> Path:
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise InvalidRequestError(f"{folder} is not a folder; give the folder that holds the model and tokenizer.json")
    # Where models/ is a folder, models/minilm is a slip of the pen and nobody's name.
    if isinstance(path, str) and _HUB_NAME.fullmatch(path) and not folder.parent.exists():
        return _fetched(path, file, revision)
    raise InvalidRequestError(f"there is no model folder {str(path)!r} (looked from {Path.cwd()})")


def _fetched(name: str, file: str | None, revision: str | None) -> Path:
    try:
        hub = import_module("huggingface_hub")
    except ImportError:
        raise InvalidRequestError(
            f"there is no model folder {name!r}; to fetch a model of that name from the Hugging Face hub, "
            "pip install huggingface_hub"
        ) from None
    files = [file] if file else list(_MODEL_FILES)
    wanted = ["*.json", "1_Pooling/*.json", *files, *(f"{model}[._]*" for model in files)]
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub's client lets the errors of several HTTP libraries through
        raise InvalidRequestError(
            f"there is no model folder {name!r}, and fetching it from the Hugging Face hub failed with "
            f"{type(error).__name__}: {error}"
        ) from error


def _model_file(folder: Path, file: str | None) -> Path:
    if file is not None:
        if not (folder / file).is_file():
            raise InvalidRequestError(f"there is no file {file!r} in {folder}")
        return folder / file
    usual = [folder / name for name in _MODEL_FILES if (folder / name).is_file()]
    found = usual[:1] or sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidRequestError(f"there is no *.onnx file in {folder}; export the model to ONNX first")
    names = ", ".join(str(model.relative_to(folder)) for model in found)
    raise InvalidRequestError(f"{folder} holds several models; pass file= with one of {names}")
