"""Write the tokenizer of XLM-R models, which is SentencePiece's Unigram, as a ``tokenizer.json``."""

from __future__ import annotations

from pathlib import Path

from cohere_rerank._extras import require

from .weights import Pieces

tokenizers = require("tokenizers", "multilingual", "The conversion of a model")

__all__ = ["write_tokenizer"]

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


def write_tokenizer(pieces: Pieces, file: Path) -> None:
    """Write the file. Its normalization is NFKC, as in the model, with spaces that are never doubled."""
    vocab = list(zip(pieces.pieces, pieces.scores))
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=_SPECIAL.index("<unk>")))
    normalizers = tokenizers.normalizers
    one_space = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), one_space])
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, _SPECIAL.index(token)) for token in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in _SPECIAL])
    tokenizer.enable_padding(pad_id=_SPECIAL.index("<pad>"), pad_token="<pad>")  # noqa: S106 - not a secret
    tokenizer.save(str(file), pretty=False)
