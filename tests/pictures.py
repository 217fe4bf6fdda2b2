"""Make the pictures of the documentation again: ``python tests/pictures.py``. It needs Chromium."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import cohere_rerank as cohere

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# Roughly the style of a notebook around the table, which brings its own style.
NOTEBOOK = """<!doctype html><meta charset="utf-8"><style>
body {{ font: 14px/1.4 system-ui, sans-serif; color: #212121; background: #fff; margin: 12px }}
table {{ border-collapse: collapse; font-size: 13px }}
th, td {{ padding: 5px 10px; text-align: left; vertical-align: top }}
tbody tr:nth-child(odd) {{ background: #f5f5f5 }}
</style>{table}"""

DOCUMENTS = [
    "Invoices are sent on the first day of each month. You can download them under Billing.",
    {"title": "Sign-in", "text": "A lost password can be reset by e-mail. Choose 'Lost password' on the sign-in page."},
    "To change your e-mail address, open Settings and choose Account.",
    "Passwords have at least twelve characters.",
]


def response() -> cohere.V2RerankResponse:
    """Return the response that docs/how-to/notebooks.md shows."""
    with cohere.ClientV2(base_url="local:") as client:
        return client.rerank(
            model="rerank-v4.0-fast",
            query="how do I reset a lost password",
            documents=DOCUMENTS,
            relevant_spans={"mode": "enabled"},
        )


def screenshot(html: str, target: Path, width: int, height: int) -> None:
    """Draw a page of HTML with Chromium and save it as a PNG of this size in pixels."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        raise SystemExit("Chromium is not installed, and the pictures need it")
    with tempfile.TemporaryDirectory() as work:
        page = Path(work, "page.html")
        page.write_text(html, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options += ["--disable-component-update", "--disable-sync", "--hide-scrollbars"]
        options += [f"--user-data-dir={work}/profile", f"--screenshot={target}", f"--window-size={width},{height}"]
        subprocess.run([chromium, *options, page.as_uri()], check=True, capture_output=True, timeout=120)


def make(folder: Path) -> None:
    """Draw all pictures into a folder."""
    screenshot(NOTEBOOK.format(table=response()._repr_html_()), folder / "notebook.png", 900, 196)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make(FOLDER)
