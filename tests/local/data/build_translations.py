"""Build cohere_rerank/local/data/concepts/*.txt.xz from the CLDR, the Common Locale Data Repository of Unicode.

    npm pack cldr-annotations-full@48.2.0 cldr-localenames-full@48.2.0     # unpack each into a folder of its name
    python tests/local/data/build_translations.py cldr-annotations-full/package cldr-localenames-full/package

Each language has one file, and each line of it has the names of one concept, folded as the scorer folds them: the
keywords of an emoji, the name of a country, or the name of a language. The same line is the same concept in all files.
"""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path
from typing import Any

from cohere_rerank.local.analysis import fold

OUTPUT = Path(__file__).resolve().parents[3] / "cohere_rerank" / "local" / "data" / "concepts"
LANGUAGES = """
    af am ar as az be bg bn bs ca ceb co cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha haw he hi hr hu hy
    id ig is it ja jv ka kk km kn ko ku ky lb lo lt lv mg mi mk ml mn mr ms mt my ne nl no ny or pa pl pt ro ru rw si
    sk sl sm sn so sq sr st su sv sw ta te tg th tk tl tr tt ug uk ur uz vi wo xh yi yo zh zu
"""
LOCALES = {"sr": ["sr", "sr-Latn"], "tl": ["fil"], "st": ["nso"]}
MAX_WORDS = {"emoji": 1, "territory": 4, "language": 2}
MIN_CONCEPTS = 150


def load(path: Path) -> Any:
    """Return a JSON file of the CLDR, or an empty mapping."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def keywords(root: Path, locale: str) -> dict[str, list[str]]:
    """Return the keywords of each emoji."""
    data = load(root / "annotations" / locale / "annotations.json")
    found = data.get("annotations", {}).get("annotations", {})
    return {emoji: [*entry.get("tts", []), *entry.get("default", [])] for emoji, entry in found.items()}


def names(root: Path, locale: str, kind: str) -> dict[str, list[str]]:
    """Return the names of territories or languages."""
    data = load(root / "main" / locale / f"{kind}.json")
    found = data.get("main", {}).get(locale, {}).get("localeDisplayNames", {}).get(kind, {})
    result: dict[str, list[str]] = {}
    for code, name in found.items():
        result.setdefault(code.split("-alt-")[0], []).append(name)
    return {code: values for code, values in result.items() if code not in values}


def concepts(emoji: Path, local_names: Path, locale: str) -> dict[str, list[str]]:
    """Return the names of each concept in one locale."""
    found = {f"emoji {key}": value for key, value in keywords(emoji, locale).items()}
    found.update({f"territory {key}": value for key, value in names(local_names, locale, "territories").items()})
    found.update({f"language {key}": value for key, value in names(local_names, locale, "languages").items()})
    return {
        key: value for key, value in found.items() if not key.startswith("language") or key[9:] in LANGUAGES.split()
    }


def folded(key: str, texts: list[str]) -> list[str]:
    """Return the different short names of a concept, folded."""
    max_words = MAX_WORDS[key.split()[0]]
    found = dict.fromkeys(" ".join(fold(text).split()) for text in texts)
    return [name for name in found if name and len(name.split()) <= max_words and any(map(str.isalpha, name))]


def main(emoji: Path, local_names: Path) -> None:
    """Write the file of each language."""
    order = sorted(concepts(emoji, local_names, "en"))
    OUTPUT.mkdir(exist_ok=True)
    for language in LANGUAGES.split():
        merged: dict[str, list[str]] = {}
        for locale in LOCALES.get(language, [language]):
            for key, values in concepts(emoji, local_names, locale).items():
                merged.setdefault(key, []).extend(values)
        lines = ["|".join(folded(key, merged.get(key, []))) for key in order]
        if sum(map(bool, lines)) < MIN_CONCEPTS:
            continue
        data = "\n".join(lines).encode()
        small = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME, check=lzma.CHECK_CRC32)
        (OUTPUT / f"{language}.txt.xz").write_bytes(small)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
