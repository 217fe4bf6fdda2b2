"""An ONNX session with its tokenizer: texts in, one value or vector per chunk out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cohere_rerank._extras import require
from cohere_rerank.errors import InvalidRequestError, ScorerError

from .model_folder import ModelFolder
from .work import check_deadline

_TELEMETRY_VARIABLE = "ORT_DISABLE_TELEMETRY"


def _runtime_without_telemetry() -> Any:
    """Import the runtime with its telemetry disabled.

    Some releases for Linux, such as 1.32, write an id of the device to the user's cache folder and report to a server
    of Microsoft. They read the variable during the import, so a later call of `disable_telemetry_events` has no effect.
    A variable that the user has set is left unchanged, and so is a runtime that is already imported.
    """
    if _TELEMETRY_VARIABLE in os.environ:
        return require("onnxruntime", "onnx", "local:onnx")
    os.environ[_TELEMETRY_VARIABLE] = "1"
    try:
        return require("onnxruntime", "onnx", "local:onnx")
    finally:
        os.environ.pop(_TELEMETRY_VARIABLE, None)


np = require("numpy", "onnx", "local:onnx")
ort = _runtime_without_telemetry()
tokenizers = require("tokenizers", "onnx", "local:onnx")

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_INTEGER_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_OUTPUTS = ("logits", "sentence_embedding", "last_hidden_state", "token_embeddings")  # the first of these that exists
_BATCHES_PER_GROUP = 16  # tokenized at once: enough to sort by length, with little memory
_MAX_GROUP_CHARS = 1_000_000  # the deadline is checked between groups; a tokenizer reads some megabytes a second
_OVERLAP_PARTS = 8  # neighbouring chunks share an eighth


class OnnxModel:
    """Runs a model on chunks of texts, in batches of similar length.

    Args:
        folder: The files of the model.
        max_length: The most tokens of one input.
        batch_size: How many inputs one run gets.
        threads: The number of threads of one run; None: the number of cores.

    Attributes:
        file: The file of the model.
        output: The name of the output that is used.
        output_shape: The shape of the output for one input. ``()``, ``(1,)`` and ``(2,)`` are logits, ``(d,)`` is a
            vector, ``(n_tokens, d)`` is one vector per token.

    Raises:
        InvalidRequestError: A file cannot be loaded, the inputs are unknown, or the tokenizer does not fit the model.
    """

    def __init__(self, folder: ModelFolder, max_length: int, batch_size: int, threads: int | None) -> None:
        self.file = folder.model
        self._max_length = max_length
        self._batch_size = batch_size
        self._session = _session(folder.model, threads)
        self._tokenizer = _tokenizer(folder.tokenizer)
        self._pad_id = (self._tokenizer.padding or {}).get("pad_id", 0)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._types = _input_types(self._session, folder.model)
        names = [output.name for output in self._session.get_outputs()]
        self.output = next((name for name in _OUTPUTS if name in names), names[0])
        self.output_shape = self._probe(folder.tokenizer)

    def run(self, texts: Sequence[str], query: str | None = None) -> Iterator[tuple[list[int], Any, Any]]:
        """Yield for each batch: the index of the text of each row, the rows, and their token masks.

        Args:
            texts: Texts. A text that is too long is cut into overlapping chunks, with one row each.
            query: A query before each chunk, as in the tokenizer's template. It is cut to half of the context.
        """
        first = None if query is None else self._first_chunk(query, self._max_length // 2)
        special = self._tokenizer.num_special_tokens_to_add(first is not None)
        room = self._max_length - special - (0 if first is None else len(first))
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for group in _groups(by_length, texts, _BATCHES_PER_GROUP * self._batch_size):
            check_deadline()
            encodings = self._tokenizer.encode_batch([texts[i] for i in group], add_special_tokens=False)
            chunks = []
            for i, encoding in zip(group, encodings):
                encoding.truncate(room, stride=room // _OVERLAP_PARTS)
                chunks += [(i, self._post_process(first, chunk)) for chunk in [encoding, *encoding.overflowing]]
            chunks.sort(key=lambda chunk: len(chunk[1]))
            for batch in _slices(chunks, self._batch_size):
                check_deadline()
                yield [i for i, _ in batch], *self._run_batch([chunk for _, chunk in batch])

    def first_chunk(self, text: str) -> tuple[Any, Any]:
        """Return the row of the first chunk of one text, and its token mask."""
        special = self._tokenizer.num_special_tokens_to_add(False)
        return self._run_batch([self._post_process(None, self._first_chunk(text, self._max_length - special))])

    def _first_chunk(self, text: str, n_tokens: int) -> Any:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        encoding.truncate(n_tokens)
        return encoding

    def _post_process(self, first: Any, chunk: Any) -> Any:
        if first is None:
            return self._tokenizer.post_process(chunk)
        return self._tokenizer.post_process(first, chunk)

    def _run_batch(self, batch: Sequence[Any]) -> tuple[Any, Any]:
        shape = len(batch), max(1, *(len(encoding) for encoding in batch))
        ids, mask, segments = np.full(shape, self._pad_id), np.zeros(shape, int), np.zeros(shape, int)
        for row, encoding in enumerate(batch):
            n = len(encoding)
            ids[row, :n] = encoding.ids
            mask[row, :n] = 1
            segments[row, :n] = encoding.type_ids
        try:
            rows = self._run_arrays(ids, mask, segments)
        except Exception as error:  # the runtime's errors have no common base class
            raise ScorerError(f"the model {self.file} failed on inputs of shape {shape}: {error}") from error
        if rows.shape[: max(1, rows.ndim - 1)] != shape[: max(1, rows.ndim - 1)]:
            raise ScorerError(f"the model {self.file} returned the shape {rows.shape} for inputs of shape {shape}")
        return rows, mask

    def _run_arrays(self, ids: Any, mask: Any, segments: Any) -> Any:
        arrays: dict[str, Any] = dict(zip(_INPUTS, (ids, mask, segments)))
        feed = {name: arrays[name].astype(kind) for name, kind in self._types.items()}
        (rows,) = self._session.run([self.output], feed)
        return np.asarray(rows, np.float32)

    def _probe(self, tokenizer: Path) -> tuple[int, ...]:
        """Return the shape of the output for one input.

        First run the largest token id at full length, so that a tokenizer that does not fit fails now.
        """
        largest = max(self._tokenizer.get_vocab().values(), default=0)
        error = self._run_error(largest, self._max_length)
        if error is None:
            rows = self._run_arrays(*self._constant_input(0, 1))
            return tuple(int(n) for n in rows.shape[1:])
        if self._run_error(0, 1) is not None:
            raise InvalidRequestError(f"the model {self.file} does not run: {error}") from error
        if self._run_error(0, self._max_length) is not None:
            raise InvalidRequestError(
                f"the model {self.file} does not accept inputs of {self._max_length} tokens; pass a smaller "
                f"max_length: {error}"
            ) from error
        raise InvalidRequestError(
            f"the tokenizer {tokenizer} does not fit the model {self.file}: its token ids go up to {largest}, and the "
            f"model fails on that id; use the tokenizer.json that was exported with the model: {error}"
        ) from error

    def _run_error(self, token_id: int, n_tokens: int) -> Exception | None:
        try:
            self._run_arrays(*self._constant_input(token_id, n_tokens))
        except Exception as error:  # noqa: BLE001 - the caller compares the errors of several runs
            return error
        return None

    @staticmethod
    def _constant_input(token_id: int, n_tokens: int) -> tuple[Any, Any, Any]:
        return np.full((1, n_tokens), token_id), np.ones((1, n_tokens), int), np.zeros((1, n_tokens), int)


def _session(file: Path, threads: int | None) -> Any:
    settings = ort.SessionOptions()
    settings.log_severity_level = 3  # errors only: the runtime also logs how it optimizes a model
    settings.intra_op_num_threads = threads or 0
    try:
        return ort.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no common base class
        raise InvalidRequestError(f"{file} cannot be loaded as an ONNX model: {error}") from error


def _tokenizer(file: Path) -> Any:
    try:
        return tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises Exception itself
        raise InvalidRequestError(f"{file} cannot be loaded as a tokenizer: {error}") from error


def _input_types(session: Any, file: Path) -> dict[str, Any]:
    types = {node.name: node.type for node in session.get_inputs()}
    unknown = [name for name, kind in types.items() if name not in _INPUTS or kind not in _INTEGER_TYPES]
    if unknown or "input_ids" not in types:
        found = ", ".join(f"{name}: {kind}" for name, kind in types.items())
        raise InvalidRequestError(
            f"the model {file} has the inputs {found}; a text model has input_ids and may have "
            f"{' and '.join(_INPUTS[1:])}, of type int64 or int32"
        )
    return {name: _INTEGER_TYPES[kind] for name, kind in types.items()}


def _groups(indices: Sequence[int], texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Yield groups of at most *size* texts and a million characters; a longer text is a group of its own."""
    group: list[int] = []
    n_chars = 0
    for i in indices:
        if group and (len(group) == size or n_chars + len(texts[i]) > _MAX_GROUP_CHARS):
            yield group
            group, n_chars = [], 0
        group.append(i)
        n_chars += len(texts[i])
    if group:
        yield group


def _slices(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
